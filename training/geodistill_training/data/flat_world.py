# SPDX-License-Identifier: Apache-2.0
"""The flat-world pretext: an overhead picture warped into the strip that a camera would see if the world were flat.

The place is drawn by us, so it is known without any label; walls that hide what lies behind them are drawn at random,
so that the network does not rely on ground that real streets hide.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from geodistill_core.models.strip import StripGeometry
from geodistill_core.types import Array

_SUPERSAMPLING = 2


def _clutter(rng: np.random.Generator, overhead: Array, height: int, width: int) -> Array:
    """A picture that stands for façades, trees and sky: a stretched scrap of the overhead view, or smooth colours."""
    if rng.random() < 0.5:
        side = overhead.shape[0]
        rows, columns = rng.integers(4, side // 3), rng.integers(side // 8, side // 2)
        top, left = rng.integers(side - rows), rng.integers(side - columns)
        scrap = overhead[top : top + rows, left : left + columns]
        picture: Array = cv2.resize(scrap, (width, height)).astype(np.float32)
    else:
        coarse = rng.uniform(0, 255, (rng.integers(3, 12), rng.integers(8, 48), 3)).astype(np.float32)
        picture = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))
        grey = picture.mean(axis=2, keepdims=True)
        picture = grey + (picture - grey) * np.float32(rng.uniform(0, 0.6))
    grain = rng.normal(0, 20, (height // 2, width // 2)).astype(np.float32)
    picture += cv2.resize(grain, (width, height))[..., None]
    return picture.clip(0, 255).astype(np.uint8)


def _wall_distance(rng: np.random.Generator, columns: int) -> Array:
    """Distance in metres beyond which each azimuth column is hidden."""
    distance = np.full(columns, rng.uniform(18, 45), dtype=np.float32)
    for _ in range(rng.integers(0, 14)):
        width = int(columns * min(rng.exponential(0.05) + 0.005, 0.5))
        where = (np.arange(width) + rng.integers(columns)) % columns
        distance[where] = np.minimum(distance[where], rng.uniform(2.5, 25))
    return distance


def flat_world_strip(
    overhead: Array,
    metres_per_pixel: float,
    east_m: float,
    north_m: float,
    yaw_enu_rad: float,
    height_m: float,
    geometry: StripGeometry,
    rng: np.random.Generator,
) -> Array:
    """The strip [H, W, 3] seen from (east, north) of a north-up picture's centre over a flat world."""
    columns, rows = geometry.width * _SUPERSAMPLING, geometry.height
    azimuth = ((np.arange(columns) + 0.5) / columns - 0.5) * 2 * math.pi
    depression = geometry.depression((np.arange(rows) + 0.5) / rows)
    tilt, toward = rng.normal(0, math.radians(0.4)), rng.uniform(0, 2 * math.pi)
    slope = depression[:, None] + tilt * np.cos(azimuth - toward)[None, :]
    distance = (height_m / np.tan(np.maximum(slope, 1e-3))).astype(np.float32)
    bearing = (yaw_enu_rad - azimuth).astype(np.float32)
    size = overhead.shape[0]
    column = (east_m + distance * np.cos(bearing)) / metres_per_pixel + size / 2 - 0.5
    row = size / 2 - (north_m + distance * np.sin(bearing)) / metres_per_pixel - 0.5
    inside = (column >= 0) & (column <= size - 1) & (row >= 0) & (row <= size - 1)
    columns_px, rows_px = (np.clip(x, -9, size + 9).astype(np.float32) for x in (column, row))
    ground = cv2.remap(overhead, columns_px, rows_px, cv2.INTER_LINEAR)
    seen = inside & (distance < _wall_distance(rng, columns)[None, :])
    strip = np.where(seen[..., None], ground, _clutter(rng, overhead, rows, columns))
    return np.asarray(cv2.resize(strip, (geometry.width, rows), interpolation=cv2.INTER_AREA))
