# SPDX-License-Identifier: Apache-2.0
"""Polylines [N, 2] in metres: arc length, resampling, parallel offsets, strips."""

from __future__ import annotations

import numpy as np

from geodistill_core.types import Array

SQUARE = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])


def arc_lengths(points: Array) -> Array:
    """Distance along the line at each vertex, [N] metres."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    return np.concatenate([[0.0], np.cumsum(steps)])


def at(points: Array, s_m: Array) -> Array:
    """Points at arc lengths `s_m` (clamped to the ends), [M, 2]."""
    lengths = arc_lengths(points)
    return np.stack([np.interp(s_m, lengths, points[:, 0]), np.interp(s_m, lengths, points[:, 1])], axis=1)


def resample(points: Array, step_m: float) -> Array:
    """The same line with vertices about `step_m` apart, ends kept."""
    total = float(arc_lengths(points)[-1])
    count = max(2, int(np.ceil(total / step_m)) + 1)
    return at(points, np.linspace(0.0, total, count))


def tangents(points: Array) -> Array:
    """Unit tangents at the vertices, [N, 2]."""
    d = np.gradient(points, axis=0)
    return np.asarray(d / np.maximum(np.hypot(d[:, 0], d[:, 1]), 1e-9)[:, None])


def offset(points: Array, right_m: float) -> Array:
    """The parallel line `right_m` to the right of the direction of travel."""
    t = tangents(points)
    return np.asarray(points + right_m * np.stack([t[:, 1], -t[:, 0]], axis=1))


def section(points: Array, s0_m: float, s1_m: float) -> Array:
    """The part between two arc lengths, ends interpolated; at least two points."""
    lengths = arc_lengths(points)
    inner = lengths[(lengths > s0_m + 1e-6) & (lengths < s1_m - 1e-6)]
    return at(points, np.concatenate([[s0_m], inner, [s1_m]]))


def strip(points: Array, left_m: float, right_m: float) -> Array:
    """Closed outline between two parallel offsets (positive = right), [2 N, 2]."""
    return np.concatenate([offset(points, left_m), offset(points, right_m)[::-1]])


def rectangle(centre: Array, yaw_rad: float, half_length_m: float, half_width_m: float) -> Array:
    """Corners of an oriented rectangle, [4, 2]."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [half_length_m, half_width_m]
    return np.asarray(corners @ np.array([[c, s], [-s, c]]) + centre)


def rectangles(table: Array) -> Array:
    """Corners [N, 4, 2] of oriented rectangles (east, north, yaw, half length, half width, ...)."""
    c, s = np.cos(table[:, 2])[:, None], np.sin(table[:, 2])[:, None]
    x, y = SQUARE[:, 0] * table[:, 3:4], SQUARE[:, 1] * table[:, 4:5]
    return np.asarray(np.stack([x * c - y * s, x * s + y * c], axis=2) + table[:, None, :2])
