# SPDX-License-Identifier: Apache-2.0
"""Cast shadows on the ground around a place, for any sun."""

from __future__ import annotations

import math

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import polyline
from geodistill_core.datasets.synthcity.city import City
from geodistill_core.types import Array

SHADOW_M = 0.25
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 14)), np.sin(np.linspace(0, 2 * np.pi, 14))], axis=1)


def _pixels(points: Array, centre: tuple[float, float], side_m: float) -> Array:
    columns = (points[:, 0] - centre[0] + side_m / 2) / SHADOW_M - 0.5
    rows = (side_m / 2 - points[:, 1] + centre[1]) / SHADOW_M - 0.5
    return np.round(np.stack([columns, rows], axis=1) * 16).astype(np.int32)


def _hull(base: Array, shift: Array) -> Array:
    return np.asarray(cv2.convexHull(np.concatenate([base, base + shift]).astype(np.float32))[:, 0])


def cast_shadows(
    city: City, centre: tuple[float, float], side_m: float, azimuth_rad: float, elevation_rad: float, cars: Array,
    lean: Array | None = None,
) -> Array:  # fmt: skip
    """Shade (uint8, 255 = no sun) on a square of `side_m` round `centre`, 0.25 m cells, north up.

    With `lean`, roofs and crowns as the map sees them are left unshaded.
    """
    n = round(side_m / SHADOW_M)
    shade = np.zeros((n, n), np.uint8)
    away = -np.array([math.cos(azimuth_rad), math.sin(azimuth_rad)]) / math.tan(elevation_rad)
    reach = side_m * 0.72

    def near(table: Array, extra: float) -> Array:
        return np.asarray(table[np.hypot(table[:, 0] - centre[0], table[:, 1] - centre[1]) < reach + extra])

    buildings = near(city.buildings, 60.0)
    for row in buildings:
        base = polyline.rectangle(row[:2], row[2], row[3], row[4])
        cv2.fillConvexPoly(shade, _pixels(_hull(base, away * row[5]), centre, side_m), 255, cv2.LINE_AA, shift=4)
    trees = near(city.trees, 10.0)
    for row in trees:
        crown = row[:2] + away * (row[3] + row[4]) / 2 + _CIRCLE * row[2] * 0.92
        crown = _hull(crown, away * (row[4] - row[3]) * 0.25)
        cv2.fillConvexPoly(shade, _pixels(crown, centre, side_m), 225, cv2.LINE_AA, shift=4)
    for row in near(city.poles, 10.0):
        ends = _pixels(np.stack([row[:2], row[:2] + away * row[3]]), centre, side_m)
        cv2.line(shade, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 150, 1, cv2.LINE_AA, shift=4)
    for row in near(cars, 5.0):
        base = polyline.rectangle(row[:2], row[2], row[3], row[4])
        cv2.fillConvexPoly(shade, _pixels(_hull(base, away * row[5] * 0.8), centre, side_m), 255, cv2.LINE_AA, shift=4)
    if lean is not None:
        for row in buildings:
            top = polyline.rectangle(row[:2] + lean * row[5], row[2], row[3], row[4])
            cv2.fillConvexPoly(shade, _pixels(top, centre, side_m), 0, cv2.LINE_AA, shift=4)
        for row in trees:
            crown = row[:2] + lean * 0.6 * row[4] + _CIRCLE * row[2] * 0.8
            cv2.fillConvexPoly(shade, _pixels(crown, centre, side_m), 0, cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(shade, (3, 3), 0.6))
