# SPDX-License-Identifier: Apache-2.0
"""What the overhead view sees above the ground: roofs, façades under a slight lean, tree crowns."""

from __future__ import annotations

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import polyline
from geodistill_core.datasets.synthcity.bake import RESOLUTION_M
from geodistill_core.datasets.synthcity.terrain import to_pixels
from geodistill_core.types import Array

ROOF_WEIGHT = 150.0


def _fill(image: Array, polygon: Array, rgb: Array, weight: float, size_m: float) -> None:
    colour = (*(float(v) for v in np.clip(rgb, 0, 255)), weight)
    cv2.fillConvexPoly(image, to_pixels(polygon, size_m, RESOLUTION_M), colour, cv2.LINE_AA, shift=6)


def draw_roofs(
    image: Array, buildings: Array, lean: Array, rng: np.random.Generator, size_m: float, light: Array
) -> None:
    """Draw buildings into the RGBA bake. `lean` is metres of displacement per metre of height (east,
    north)."""
    for row in buildings[np.argsort(buildings[:, 5])]:
        centre, yaw, a, b, height = row[:2], row[2], row[3], row[4], row[5]
        wall, roof = row[6:9], row[9:12] * rng.uniform(0.85, 1.15)
        base = polyline.rectangle(centre, yaw, a, b)
        top = base + lean * height
        if np.abs(lean).max() * height > 0.2:
            hull = cv2.convexHull(np.concatenate([base, top]).astype(np.float32))[:, 0]
            _fill(image, hull, wall * 0.7, 60.0, size_m)
        middle = centre + lean * height
        u = np.array([np.cos(yaw), np.sin(yaw)])
        v = np.array([-u[1], u[0]])
        if row[12] > 0:
            if a < b:
                u, v, a, b = v, u, b, a
            for sign in (-1, 1):
                half = np.stack(
                    [
                        middle + u * a,
                        middle - u * a,
                        middle - u * a + sign * v * b,
                        middle + u * a + sign * v * b,
                    ]
                )
                _fill(image, half, roof * (1.0 + 0.28 * sign * float(v @ light)), ROOF_WEIGHT, size_m)
            continue
        _fill(image, top, roof * 0.78, ROOF_WEIGHT, size_m)
        _fill(
            image,
            polyline.rectangle(middle, yaw, max(a - 0.5, 0.3), max(b - 0.5, 0.3)),
            roof,
            ROOF_WEIGHT,
            size_m,
        )
        for _ in range(int(rng.integers(1, 3 + int(a * b / 40)))):
            spot = middle + u * rng.uniform(-0.75, 0.75) * a + v * rng.uniform(-0.75, 0.75) * b
            w, h = rng.uniform(0.5, 2.0, 2)
            _fill(image, polyline.rectangle(spot - light * 0.6, yaw, w, h), roof * 0.6, ROOF_WEIGHT, size_m)
            _fill(
                image,
                polyline.rectangle(spot, yaw, w, h),
                np.full(3, rng.uniform(110, 215)),
                ROOF_WEIGHT,
                size_m,
            )


def draw_crowns(image: Array, trees: Array, lean: Array, rng: np.random.Generator, size_m: float, light: Array) -> None:
    """Draw tree crowns into the RGBA bake as clumps of lit and shaded leaves."""
    for row in trees:
        middle = row[:2] + lean * 0.6 * row[4]
        radius, tone = row[2], row[5]
        base = np.array([76 + 26 * tone, 92 + 16 * tone, 58 + 10 * tone])
        clumps = [(np.zeros(2), 0.86, 0.72)]
        for _ in range(9):
            angle, reach = rng.uniform(0, 6.28), rng.uniform(0.1, 0.68)
            at = np.array([np.cos(angle), np.sin(angle)]) * reach
            clumps.append((at, rng.uniform(0.22, 0.42), 0.95 + 0.42 * float(at @ light) + rng.normal(0, 0.06)))
        for at, size, shade in sorted(clumps, key=lambda c: c[2]):
            p = to_pixels((middle + at * radius)[None], size_m, RESOLUTION_M)[0]
            colour = (*(float(v) for v in np.clip(base * shade, 0, 255)), 255.0)
            r = max(1, int(size * radius / RESOLUTION_M * 64))
            cv2.circle(image, (int(p[0]), int(p[1])), r, colour, -1, cv2.LINE_AA, shift=6)
