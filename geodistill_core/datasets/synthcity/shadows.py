# SPDX-License-Identifier: Apache-2.0
"""Cast shadows on the ground around a place, for any sun."""

from __future__ import annotations

import math

import cv2
import numpy as np

from geodistill_core.datasets.synthcity.city import City
from geodistill_core.datasets.synthcity.polyline import SQUARE, rectangles
from geodistill_core.types import Array

SHADOW_M = 0.25
_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def _near(table: Array, centre: tuple[float, float], reach: float) -> Array:
    return np.asarray(table[np.hypot(table[:, 0] - centre[0], table[:, 1] - centre[1]) < reach])


class _Canvas:
    """A square of shade round a place; outlines come as [N, K, 2] in city metres."""

    def __init__(self, centre: tuple[float, float], side_m: float) -> None:
        n = round(side_m / SHADOW_M)
        self.shade = np.zeros((n, n), np.uint8)
        self.left, self.top = centre[0] - side_m / 2, centre[1] + side_m / 2

    def _pixels(self, points: Array) -> Array:
        columns = (points[..., 0] - self.left) / SHADOW_M - 0.5
        rows = (self.top - points[..., 1]) / SHADOW_M - 0.5
        return np.round(np.stack([columns, rows], axis=-1) * 16).astype(np.int32)

    def fill(self, outlines: Array, value: int) -> None:
        """Fill convex outlines."""
        for outline in self._pixels(outlines):
            cv2.fillConvexPoly(self.shade, outline, value, cv2.LINE_AA, shift=4)

    def sweep(self, outlines: Array, shifts: Array, value: int) -> None:
        """Fill the area that convex outlines cover while moving by `shifts` [N, 2]."""
        for points in self._pixels(np.concatenate([outlines, outlines + shifts[:, None]], axis=1)):
            cv2.fillConvexPoly(self.shade, cv2.convexHull(points), value, cv2.LINE_AA, shift=4)


def cast_shadows(
    city: City, centre: tuple[float, float], side_m: float, azimuth_rad: float, elevation_rad: float,
    cars: Array,
    lean: Array | None = None,
) -> Array:  # fmt: skip
    """Shade (uint8, 255 = no sun) on a square of `side_m` round `centre`, 0.25 m cells, north up.

    With `lean`, roofs and crowns as the map sees them are left unshaded.
    """
    canvas, reach = _Canvas(centre, side_m), side_m * 0.72
    away = -np.array([math.cos(azimuth_rad), math.sin(azimuth_rad)]) / math.tan(elevation_rad)
    buildings = _near(city.buildings, centre, reach + 60.0)
    walls = rectangles(buildings)
    canvas.sweep(walls, buildings[:, 5:6] * away, 255)
    trees = _near(city.trees, centre, reach + 10.0)
    crowns = trees[:, None, :2] + trees[:, 2, None, None] * _CIRCLE
    middle, tall = (trees[:, 3:4] + trees[:, 4:5]) / 2, trees[:, 4:5] - trees[:, 3:4]
    canvas.sweep(crowns + ((middle - 0.12 * tall) * away)[:, None], 0.25 * tall * away, 225)
    poles = _near(city.poles, centre, reach + 10.0)
    canvas.sweep(poles[:, None, :2] + 0.1 * SQUARE, poles[:, 3:4] * away, 170)
    near_cars = _near(cars, centre, reach + 5.0)
    canvas.sweep(rectangles(near_cars), 0.8 * near_cars[:, 5:6] * away, 255)
    if lean is not None:
        canvas.fill(walls + (buildings[:, 5:6] * lean)[:, None], 0)
        canvas.fill(
            trees[:, None, :2] + 0.85 * trees[:, 2, None, None] * _CIRCLE + (0.6 * trees[:, 4:5] * lean)[:, None],
            0,
        )
    return np.asarray(cv2.GaussianBlur(canvas.shade, (3, 3), 0.6))
