# SPDX-License-Identifier: Apache-2.0
"""Driving along lanes: random places on them, and smooth routes through the street network."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import polyline
from geodistill_core.datasets.synthcity.layout import Network, Road
from geodistill_core.datasets.synthcity.styles import Style
from geodistill_core.errors import ConfigError
from geodistill_core.types import Array

STEP_M = 0.5
_SMOOTH_M = 2.0


def _lane_line(road: Road, end: int, lane: int, style: Style) -> Array:
    """Centre of a lane leaving crossing `end`, in driving direction, over the whole road."""
    line = road.points if end == 0 else road.points[::-1]
    side = -1.0 if style.left_hand else 1.0
    return polyline.offset(line, side * road.lane_offset_m(lane))


def lane_segments(network: Network, style: Style) -> Array:
    """Every lane's centre line as directed segments [M, 4]: east, north from and to, in driving direction."""
    lines = []
    for road in network.roads:
        for end in (0, 1):
            for lane in range(road.lanes):
                line = _lane_line(road, end, lane, style)
                lines.append(np.concatenate([line[:-1], line[1:]], axis=1))
    return np.concatenate(lines)


def lane_pose(segments: Array, rng: np.random.Generator, half_m: float) -> tuple[float, float, float]:
    """A random place on a lane with |east|, |north| < `half_m`, uniform along lanes: east, north, yaw."""
    middle = (segments[:, :2] + segments[:, 2:]) / 2
    inside = segments[np.abs(middle).max(axis=1) < half_m]
    if not len(inside):
        raise ConfigError(f"no lane lies within {half_m:.0f} m of the city's centre; build a larger city")
    lengths = np.hypot(inside[:, 2] - inside[:, 0], inside[:, 3] - inside[:, 1])
    x0, y0, x1, y1 = inside[int(rng.choice(len(inside), p=lengths / lengths.sum()))]
    f = rng.random()
    return float(x0 + f * (x1 - x0)), float(y0 + f * (y1 - y0)), math.atan2(y1 - y0, x1 - x0)


def _join(a: Array, direction_a: Array, b: Array, direction_b: Array) -> Array:
    """A cubic Hermite curve through a crossing."""
    pull = max(2.0, 1.3 * float(np.hypot(*(b - a))) * 0.75)
    t = np.linspace(0, 1, max(4, int(pull)))[1:-1, None]
    return np.asarray(
        (2 * t**3 - 3 * t**2 + 1) * a
        + (t**3 - 2 * t**2 + t) * direction_a * pull
        + (-2 * t**3 + 3 * t**2) * b
        + (t**3 - t**2) * direction_b * pull
    )


def _next(network: Network, index: int, end: int, inside: Array, rng: np.random.Generator) -> tuple[int, int] | None:
    """A road to continue on after driving road `index` away from its `end`; None when only a U-turn is
    left."""
    node = network.roads[index].nodes[1 - end]
    ways = [w for w in network.incident[node] if w[0] != index and inside[network.roads[w[0]].nodes[1 - w[1]]]]
    return ways[int(rng.integers(len(ways)))] if ways else None


def _walk(network: Network, style: Style, rng: np.random.Generator, length_m: float, half_m: float) -> list[Array]:
    """Lane sections in driving order; may end early where the mapped part of the city ends."""
    inside = np.abs(network.nodes).max(axis=1) < half_m
    starts = [(i, end) for i, road in enumerate(network.roads) for end in (0, 1) if inside[list(road.nodes)].all()]
    if not starts:
        return []
    way: tuple[int, int] | None = starts[int(rng.integers(len(starts)))]
    parts: list[Array] = []
    total = 0.0
    while way is not None and total < length_m + 20.0:
        road = network.roads[way[0]]
        line = _lane_line(road, way[1], int(rng.integers(road.lanes)) if not parts else road.lanes - 1, style)
        length = float(polyline.arc_lengths(line)[-1])
        trims = road.trims_m if way[1] == 0 else road.trims_m[::-1]
        s0 = min(trims[0], 0.4 * length)
        part = polyline.section(line, s0, length - min(trims[1], 0.4 * length))
        parts.append(part)
        total += float(polyline.arc_lengths(part)[-1]) + trims[1] + trims[0]
        way = _next(network, way[0], way[1], inside, rng)
    return parts


def drive(network: Network, style: Style, rng: np.random.Generator, length_m: float, half_m: float) -> Array:
    """A smooth route of `length_m` along lanes, [N, 2] metres, 0.5 m apart. Raises ConfigError when none
    fits."""
    best = np.zeros((0, 2))
    for _ in range(40):
        parts = _walk(network, style, rng, length_m, half_m)
        if not parts:
            break
        pieces = [parts[0]]
        for a, b in pairwise(parts):
            pieces += [_join(a[-1], _unit(a[-1] - a[-2]), b[0], _unit(b[1] - b[0])), b]
        line = _even(np.concatenate(pieces))
        if len(line) > len(best):
            best = line
        if len(best) * STEP_M >= length_m:
            break
    count = int(length_m / STEP_M) + 1
    if len(best) < count:
        raise ConfigError(
            f"no route of {length_m:.0f} m fits within {half_m:.0f} m of the city's centre "
            f"(longest {len(best) * STEP_M:.0f} m); ask for less or build a larger city"
        )
    return best[:count]


def _unit(v: Array) -> Array:
    return np.asarray(v / max(float(np.hypot(*v)), 1e-9))


def _even(points: Array) -> Array:
    """Evenly spaced and smoothed so that curvature stays drivable."""
    line = polyline.resample(points, STEP_M)
    pad = 12
    padded = np.concatenate([np.repeat(line[:1], pad, 0), line, np.repeat(line[-1:], pad, 0)])
    smooth = cv2.GaussianBlur(padded, (1, 0), sigmaX=1e-6, sigmaY=_SMOOTH_M / STEP_M)
    line = smooth[pad * 2 : -pad * 2] if len(line) > 6 * pad else line
    total = float(polyline.arc_lengths(line)[-1])
    return polyline.at(line, np.arange(0.0, total, STEP_M))
