# SPDX-License-Identifier: Apache-2.0
"""What stands between the streets: buildings, parking lots, parks, trees, poles, parked cars."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import polyline
from geodistill_core.datasets.synthcity.layout import BIKE_WIDTH_M, PARKING_WIDTH_M, Network, Road
from geodistill_core.datasets.synthcity.paint import WHITE, YELLOW, Paint, paint_bays
from geodistill_core.datasets.synthcity.streams import no_chance
from geodistill_core.datasets.synthcity.styles import Style
from geodistill_core.datasets.synthcity.terrain import FIELD_M
from geodistill_core.types import Array

LAWN, PAVED, GRAVEL, LOT, DRIVEWAY, WATER = 1, 2, 3, 4, 5, 6

# Building columns: east, north, yaw, half length, half width, height, wall rgb, roof rgb, pitched, tone,
# change draw
BUILDING_COLUMNS = 15
# Tree columns: east, north, radius, crown bottom, height, tone, change draw
TREE_COLUMNS = 7


@dataclass(slots=True)
class Furniture:
    """Everything placed: arrays with the columns documented above, ground patches, parking places."""

    buildings: list[list[float]] = field(default_factory=list)
    trees: list[list[float]] = field(default_factory=list)
    poles: list[list[float]] = field(default_factory=list)  # east, north, radius, height
    patches: list[tuple[Array, int]] = field(default_factory=list)  # polygon, material
    slots: list[tuple[float, float, float]] = field(default_factory=list)  # parked cars: east, north, yaw


class Site:
    """Free ground: far enough from the kerb and not built on yet."""

    def __init__(self, distance: Array, size_m: float) -> None:
        self.distance = distance
        self.size_m = size_m
        self.taken = np.zeros((round(size_m), round(size_m)), np.uint8)

    def kerb_distance(self, points: Array) -> Array:
        """Metres to the nearest kerb at points [N, 2]."""
        n = len(self.distance)
        c = np.clip(((points[:, 0] + self.size_m / 2) / FIELD_M).astype(int), 0, n - 1)
        r = np.clip(((self.size_m / 2 - points[:, 1]) / FIELD_M).astype(int), 0, n - 1)
        return np.asarray(self.distance[r, c])

    def free(self, rect: tuple[Array, float, float, float], margin_m: float) -> bool:
        """Whether a rectangle (centre, yaw, half length, half width) is unbuilt, `margin_m` from kerbs."""
        centre, yaw, a, b = rect
        u = np.linspace(-a, a, max(3, int(a) + 1))
        v = np.linspace(-b, b, max(3, int(b) + 1))
        gu, gv = np.meshgrid(u, v)
        c, s = math.cos(yaw), math.sin(yaw)
        points = np.stack([gu.ravel() * c - gv.ravel() * s, gu.ravel() * s + gv.ravel() * c], axis=1) + centre
        if self.kerb_distance(points).min() < margin_m:
            return False
        n = len(self.taken)
        col = np.clip((points[:, 0] + self.size_m / 2).astype(int), 0, n - 1)
        row = np.clip((self.size_m / 2 - points[:, 1]).astype(int), 0, n - 1)
        return not self.taken[row, col].any()

    def take(self, rect: tuple[Array, float, float, float]) -> None:
        """Mark a rectangle as built on."""
        corners = polyline.rectangle(*rect)
        pixels = np.stack([corners[:, 0] + self.size_m / 2, self.size_m / 2 - corners[:, 1]], axis=1)
        cv2.fillConvexPoly(self.taken, pixels.astype(np.int32), 1)


def _colour(rng: np.random.Generator, palette: tuple[tuple[int, int, int], ...]) -> list[float]:
    base = np.array(palette[int(rng.integers(len(palette)))], float)
    return [float(v) for v in np.clip(base * rng.uniform(0.82, 1.12) + rng.normal(0, 5, 3), 25, 245)]


def _building(style: Style, rng: np.random.Generator, rect: tuple[Array, float, float, float]) -> list[float]:
    centre, yaw, a, b = rect
    pitched = float(rng.random() < style.pitched and min(a, b) < 9.0)
    height = float(rng.uniform(*style.height_m))
    wall, roof = _colour(rng, style.walls), _colour(rng, style.roofs)
    return [
        *map(float, centre),
        yaw,
        a,
        b,
        height,
        *wall,
        *roof,
        pitched,
        float(rng.random()),
        float(rng.random()),
    ]


def _lot(
    style: Style,
    rng: np.random.Generator,
    site: Site,
    out: Furniture,
    paint: Paint,
    rect: tuple[Array, float, float, float],
) -> None:
    centre, yaw, a, b = rect
    out.patches.append((polyline.rectangle(centre, yaw, a, b), LOT))
    colour = YELLOW if style.centre_yellow and rng.random() < 0.35 else WHITE
    lot = np.array([*centre, yaw, a, b])
    out.slots += paint_bays(paint, lot, float(rng.uniform(2.4, 2.8)), colour)
    site.take(rect)


def _frontage(
    style: Style, rng: np.random.Generator, site: Site, out: Furniture, paint: Paint, road: Road, side: int
) -> None:
    """Fill one side of a street with buildings, parking lots and gaps."""
    front = road.half_width_m + style.verge_m + style.sidewalk_m
    margin = style.verge_m + style.sidewalk_m
    s, length, shrink = road.trims_m[0] * 0.6, road.length_m, False
    while s < length - road.trims_m[1] * 0.6 - 6.0:
        is_lot = rng.random() < style.lot_probability
        width = float(rng.uniform(26, 52) if is_lot else rng.uniform(*style.frontage_m))
        depth = float(rng.choice([17.6, 33.9]) if is_lot else rng.uniform(*style.depth_m))
        if shrink and not is_lot:
            width, depth = max(7.0, 0.6 * width), max(7.0, 0.7 * depth)
        setback = float(rng.uniform(0.6, 2.0) if is_lot else rng.uniform(*style.setback_m))
        a, b = polyline.at(road.points, np.array([s, min(s + width, length)]))
        yaw = math.atan2(b[1] - a[1], b[0] - a[0])
        normal = np.array([math.sin(yaw), -math.cos(yaw)]) * side
        centre = (a + b) / 2 + normal * (front + setback + depth / 2)
        rect = (centre, yaw, width / 2, depth / 2)
        gap = float(rng.uniform(*style.gap_m))
        if np.abs(centre).max() < site.size_m / 2 + 20 and site.free(rect, margin + 0.1):
            mouth = (
                (a + b) / 2
                + normal * (front + setback)
                + np.array([math.cos(yaw), math.sin(yaw)]) * (0.25 * width * rng.uniform(-1, 1))
            )
            if is_lot:
                _lot(style, rng, site, out, paint, rect)
                _drive(out, mouth, normal, front + setback - road.half_width_m, 6.0)
            elif rng.random() >= style.open_probability:
                out.buildings.append(_building(style, rng, rect))
                site.take(rect)
                if setback > 3.0 and rng.random() < 0.8:
                    _drive(out, mouth, normal, front + setback - road.half_width_m, 3.2)
                    p = mouth - normal * 3.0
                    out.slots.append((float(p[0]), float(p[1]), math.atan2(normal[1], normal[0])))
            s, shrink = s + width + gap, False
        else:
            s, shrink = s + 3.0, True


def _drive(out: Furniture, mouth: Array, normal: Array, length_m: float, width_m: float) -> None:
    """A driveway across sidewalk and verge."""
    yaw = math.atan2(normal[1], normal[0])
    centre = mouth - normal * (length_m / 2 - 0.1)
    out.patches.append((polyline.rectangle(centre, yaw, length_m / 2 + 0.25, width_m / 2), DRIVEWAY))


def _interior(
    style: Style, rng: np.random.Generator, site: Site, out: Furniture, paint: Paint, roads: list[Road]
) -> None:
    """Lots, backyard buildings and ponds deep inside the blocks."""
    half = site.size_m / 2
    for _ in range(int(0.003 * site.size_m**2)):
        centre = rng.uniform(-half, half, 2)
        road = roads[int(rng.integers(len(roads)))]
        yaw = math.atan2(*(road.points[-1] - road.points[0])[::-1]) + float(rng.normal(0, 0.03))
        lot = rng.random() < style.lot_probability
        a, b = (rng.uniform(12, 26), 8.8) if lot else (rng.uniform(3, 9), rng.uniform(3, 6))
        rect = (centre, yaw, float(a), float(b))
        if not site.free(rect, style.verge_m + style.sidewalk_m + 4.0):
            continue
        if lot:
            _lot(style, rng, site, out, paint, rect)
        elif rng.random() < 0.6:
            building = _building(style, rng, rect)
            building[5] = float(rng.uniform(2.6, max(3.2, style.height_m[0])))
            out.buildings.append(building)
            site.take(rect)
    for _ in range(3):
        if rng.random() < style.water_probability:
            centre, angles = rng.uniform(-half, half, 2), np.linspace(0, 2 * np.pi, 24, endpoint=False)
            radius = rng.uniform(8, 16)
            ring = centre + (radius * (1 + 0.2 * np.sin(2 * angles + rng.uniform(0, 6))))[:, None] * np.stack(
                [np.cos(angles), np.sin(angles)], axis=1
            )
            if site.free((centre, 0.0, radius * 0.9, radius * 0.9), style.verge_m + style.sidewalk_m + 1.0):
                out.patches.append((ring, WATER))
                site.take((centre, 0.0, radius, radius))


def _tree(style: Style, rng: np.random.Generator, p: Array, scale: float = 1.0) -> list[float]:
    radius = float(rng.uniform(*style.tree_radius_m)) * scale
    bottom = float(rng.uniform(1.8, 3.2))
    return [
        float(p[0]),
        float(p[1]),
        radius,
        bottom,
        bottom + radius * float(rng.uniform(1.6, 2.6)),
        *rng.random(2),
    ]


def _street_furniture(style: Style, rng: np.random.Generator, out: Furniture, road: Road) -> None:
    """Street trees, lamp posts and kerb-side parking along one road."""
    s0, s1 = road.trims_m[0] + 6.0, road.length_m - road.trims_m[1] - 6.0
    if s1 - s0 < 4.0:
        return
    lines = [(side, road.half_width_m + (style.verge_m / 2 if style.verge_m > 1.0 else 0.9)) for side in (-1, 1)]
    for side, offset in lines:
        line = polyline.offset(road.points, side * offset)
        for s in np.arange(s0, s1, style.tree_spacing_m):
            p = polyline.at(line, np.array([s + rng.uniform(-1.5, 1.5)]))[0]
            if rng.random() < 0.75:
                out.trees.append(_tree(style, rng, p, 0.85))
        for s in np.arange(s0 + 3.0 + 9.0 * (side > 0), s1, 32.0):
            p = polyline.at(line, np.array([s]))[0]
            out.poles.append([float(p[0]), float(p[1]), 0.09, float(rng.uniform(5.5, 9.0))])
    if road.median_m > 2.0:
        for p in polyline.at(road.points, np.arange(s0 + 4, s1 - 2, 11.0)):
            out.trees.append(_tree(style, rng, p, 0.7))
    if road.parking:
        offset = road.median_m / 2 + road.lanes * road.lane_width_m + PARKING_WIDTH_M / 2 - 0.1
        offset += BIKE_WIDTH_M if road.bike else 0.0
        for side in (-1, 1):
            line = polyline.offset(road.points, side * offset)
            for s in np.arange(s0 + 3.0, s1 - 3.0, 6.0):
                a, b = polyline.at(line, np.array([s - 0.5, s + 0.5]))
                p = (a + b) / 2
                out.slots.append((float(p[0]), float(p[1]), math.atan2(b[1] - a[1], b[0] - a[0])))


def furnish(
    network: Network, style: Style, rng: np.random.Generator, distance: Array, paint: Paint, size_m: float
) -> Furniture:
    """Place everything that is not a street; parking bays are added to `paint`."""
    out, site = Furniture(), Site(distance, size_m)
    along = no_chance() if style.alike else rng
    for index in rng.permutation(len(network.roads)):
        for side in (-1, 1):
            _frontage(style, along, site, out, paint, network.roads[int(index)], side)
    _interior(style, rng, site, out, paint, network.roads)
    for road in network.roads:
        _street_furniture(style, along, out, road)
    count = int(style.tree_density * size_m**2 / 1000)
    points = rng.uniform(-size_m / 2, size_m / 2, (count, 2))
    kerb = site.kerb_distance(points)
    for p, d in zip(points, kerb, strict=True):
        if d > style.verge_m + style.sidewalk_m + 1.5 and site.free((p, 0.0, 1.2, 1.2), 0.0):
            out.trees.append(_tree(style, rng, p))
    return out
