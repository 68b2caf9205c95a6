# SPDX-License-Identifier: Apache-2.0
"""Road markings as polygons: lane lines, stop lines, crosswalks, arrows, parking bays."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from geodistill_core.datasets.synthcity import polyline
from geodistill_core.datasets.synthcity.layout import BIKE_WIDTH_M, PARKING_WIDTH_M, Network, Road
from geodistill_core.datasets.synthcity.styles import Style
from geodistill_core.types import Array

WHITE, YELLOW, TINT = 0, 1, 2

_SHAFT = [(-0.08, 0.0), (0.08, 0.0), (0.08, 1.9), (-0.08, 1.9)]
ARROWS: dict[str, list[list[tuple[float, float]]]] = {  # (right, forward) metres
    "ahead": [_SHAFT, [(-0.32, 1.9), (0.32, 1.9), (0.0, 3.2)]],
    "right": [
        _SHAFT,
        [(0.0, 1.7), (0.45, 1.7), (0.45, 1.9), (0.0, 1.95)],
        [(0.45, 1.4), (0.45, 2.2), (0.95, 1.8)],
    ],
    "left": [
        _SHAFT,
        [(0.0, 1.7), (-0.45, 1.7), (-0.45, 1.9), (0.0, 1.95)],
        [(-0.45, 1.4), (-0.45, 2.2), (-0.95, 1.8)],
    ],
}


@dataclass(slots=True)
class Paint:
    """Marking polygons by colour. `group` ties the polygons of one marking together for map changes."""

    polygons: list[Array] = field(default_factory=list)
    colours: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    group_count: int = 0

    def new_group(self) -> None:
        """Start a marking that changes as one."""
        self.group_count += 1

    def add(self, polygon: Array, colour: int) -> None:
        """One closed outline [N, 2] in metres."""
        self.polygons.append(np.asarray(polygon, dtype=float))
        self.colours.append(colour)
        self.groups.append(self.group_count)

    def line(self, points: Array, offset_m: float, width_m: float, colour: int) -> None:
        """A solid line along a polyline."""
        for k in range(0, len(points) - 1, 12):
            part = points[k : k + 13]
            if len(part) >= 2:
                self.add(polyline.strip(part, offset_m - width_m / 2, offset_m + width_m / 2), colour)

    def dashes(self, points: Array, offset_m: float, width_m: float, dash: tuple[float, float], colour: int) -> None:
        """A dashed line: `dash` is (painted, gap) in metres."""
        total = float(polyline.arc_lengths(points)[-1])
        for s in np.arange(dash[1] / 2, total - dash[0], sum(dash)):
            part = polyline.section(points, s, s + dash[0])
            self.add(polyline.strip(part, offset_m - width_m / 2, offset_m + width_m / 2), colour)


def _frame(road: Road, end: int, distance_m: float) -> tuple[Array, Array, Array]:
    """Point on the centre line `distance_m` from a crossing, direction towards the crossing, and its
    right."""
    s = distance_m if end == 0 else road.length_m - distance_m
    a, b = polyline.at(road.points, np.array([s - 0.5, s + 0.5]))
    forward = (b - a) / np.hypot(*(b - a)) * (1.0 if end == 1 else -1.0)
    return (a + b) / 2, forward, np.array([forward[1], -forward[0]])


def _box(origin: Array, forward: Array, right: Array, x0: float, x1: float, y0: float, y1: float) -> Array:
    return np.stack([origin + right * x + forward * y for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))])


def _crosswalk(paint: Paint, road: Road, end: int, style: Style) -> None:
    origin, forward, right = _frame(road, end, road.trims_m[end] + 2.4)
    half = road.half_width_m - 0.2
    paint.new_group()
    if style.crosswalk in ("zebra", "ladder"):
        for x in np.arange(-half, half - 0.4, 1.0):
            paint.add(_box(origin, forward, right, x, x + 0.5, -1.5, 1.5), WHITE)
    if style.crosswalk in ("bars", "ladder"):
        for y in (-1.65, 1.5):
            paint.add(_box(origin, forward, right, -half, half, y, y + 0.3), WHITE)


def _approach(paint: Paint, road: Road, end: int, style: Style, rng: np.random.Generator) -> float:
    """Stop line, crosswalk and arrows at one end; returns how far from the crossing the lane lines start."""
    trim = road.trims_m[end]
    if not road.crossings[end]:
        return trim
    start = trim + 0.6
    if road.crosswalks[end]:
        _crosswalk(paint, road, end, style)
        start = trim + 4.8
    side = -1.0 if style.left_hand else 1.0
    inner, outer = road.median_m / 2 + 0.1, road.median_m / 2 + road.lanes * road.lane_width_m
    paint.new_group()
    origin, forward, right = _frame(road, end, start + 0.25)
    paint.add(_box(origin, forward, right * side, inner, outer, -0.22, 0.22), WHITE)
    if rng.random() < style.arrow_probability and road.length_m > 45:
        for lane in range(road.lanes):
            names = ["ahead"] if 0 < lane < road.lanes - 1 else (["left", "ahead"] if lane == 0 else ["right", "ahead"])
            for distance in (start + 6.5, start + 20.0)[: 2 if road.length_m > 80 else 1]:
                origin, forward, right = _frame(road, end, distance)
                middle = origin + right * side * road.lane_offset_m(lane)
                name = names[int(rng.integers(len(names)))]
                for part in ARROWS[name]:
                    paint.add(np.stack([middle + right * x + forward * y for x, y in part]), WHITE)
    return start + 0.5


def _centre_line(paint: Paint, road: Road, line: Array, style: Style) -> None:
    width, colour = style.line_width_m, YELLOW if style.centre_yellow else WHITE
    paint.new_group()
    if road.median_m > 0:
        for sign in (-1, 1):
            paint.line(line, sign * (road.median_m / 2 + 0.25), width, colour)
    elif style.centre == "double" or (road.lanes > 1 and style.centre == "solid"):
        for sign in (-1, 1):
            paint.line(line, sign * (0.1 + width / 2), width, colour)
    elif style.centre == "solid":
        paint.line(line, 0.0, width, colour)
    else:
        paint.dashes(line, 0.0, width, style.dash_m, colour)


def _bike_lane(paint: Paint, line: Array, sign: int, edge_m: float, width_m: float) -> None:
    a, b = sorted((sign * (edge_m + 0.1), sign * (edge_m + BIKE_WIDTH_M)))
    for k in range(0, len(line) - 1, 12):
        if len(line[k : k + 13]) >= 2:
            paint.add(polyline.strip(line[k : k + 13], a, b), TINT)
    paint.line(line, sign * edge_m, width_m * 1.3, WHITE)


def _parking_lane(paint: Paint, line: Array, sign: int, edge_m: float, width_m: float) -> None:
    paint.line(line, sign * edge_m, width_m * 0.8, WHITE)
    a, b = sorted((sign * edge_m, sign * (edge_m + PARKING_WIDTH_M - 0.3)))
    for s in np.arange(1.0, polyline.arc_lengths(line)[-1] - 1.0, 6.0):
        paint.add(polyline.strip(polyline.section(line, s, s + 0.12), a, b), WHITE)


def _lanes(paint: Paint, road: Road, line: Array, style: Style) -> None:
    """Everything that runs along a road between its crossings."""
    width = style.line_width_m
    _centre_line(paint, road, line, style)
    for sign in (-1, 1):
        for lane in range(1, road.lanes):
            paint.new_group()
            offset = sign * (road.median_m / 2 + lane * road.lane_width_m)
            paint.dashes(line, offset, width, style.dash_m, WHITE)
        edge = road.median_m / 2 + road.lanes * road.lane_width_m
        paint.new_group()
        if road.bike:
            _bike_lane(paint, line, sign, edge, width)
            edge += BIKE_WIDTH_M
        if road.parking:
            _parking_lane(paint, line, sign, edge, width)
        elif style.edge_lines:
            paint.line(line, sign * (edge - 0.05), width, WHITE)


def paint_streets(network: Network, style: Style, rng: np.random.Generator) -> Paint:
    """All markings of the street network."""
    paint = Paint()
    for road in network.roads:
        starts = [_approach(paint, road, end, style, rng) for end in (0, 1)]
        s0, s1 = starts[0], road.length_m - starts[1]
        if s1 - s0 > 4.0:
            _lanes(paint, road, polyline.section(road.points, s0, s1), style)
    return paint


def paint_bays(paint: Paint, lot: Array, bay_m: float, colour: int) -> list[tuple[float, float, float]]:
    """Painted bays on a parking lot; returns the bays as (east, north, yaw).

    `lot` is (centre east, centre north, yaw, half length, half width).
    """
    centre, yaw, half_length, half_width = lot[:2], float(lot[2]), float(lot[3]), float(lot[4])
    forward = np.array([math.cos(yaw), math.sin(yaw)])
    right = np.array([forward[1], -forward[0]])
    slots: list[tuple[float, float, float]] = []
    paint.new_group()
    y, row = -half_width + 0.6, 0
    while y + 5.0 <= half_width - 0.3:
        for x in np.arange(-half_length + 1.0, half_length - 1.0 + 1e-6, bay_m):
            paint.add(_box(centre, forward, right, y, y + 5.0, x - 0.06, x + 0.06), colour)
            if x + bay_m <= half_length - 1.0 + 1e-6:
                p = centre + right * (y + 2.5) + forward * (x + bay_m / 2)
                slots.append((float(p[0]), float(p[1]), yaw + math.pi / 2))
        back = y if row % 2 == 0 else y + 5.0
        paint.add(_box(centre, forward, right, back - 0.06, back + 0.06, -half_length + 1, half_length - 1), colour)
        y += 5.0 + (6.2 if row % 2 == 0 else 0.12)
        row += 1
    return slots
