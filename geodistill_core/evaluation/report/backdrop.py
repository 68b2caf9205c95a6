# SPDX-License-Identifier: Apache-2.0
"""The imagery below a trajectory, read along the way only: a long drive crosses a city without showing all of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.types import Array

if TYPE_CHECKING:
    from geodistill_core.evaluation.report.trajectory import View
    from geodistill_core.maps import MapSource

CELLS = 16
CORRIDOR_M = 60.0
# beyond this a pixel of the picture is wider than a road
MAX_EXTENT_M = 20_000.0
PLAIN = 225


def backdrop(source: MapSource | None, view: View, pixels: Array) -> tuple[Array, str] | None:
    """The picture [H, W, 3] of the view's size and the imagery's attribution; None where the map has nothing.

    `pixels` [N, 2] is where the drive went, right and down. The view is read in squares, those within CORRIDOR_M of
    the drive; the others stay plain.
    """
    if source is None or view.extent_m > MAX_EXTENT_M:
        return None
    width, height = view.size
    side = -(-max(width, height) // CELLS)
    picture = np.full((-(-height // side) * side, -(-width // side) * side, 3), PLAIN, np.uint8)
    attribution = None
    for row, column in sorted(_near(pixels, side, CORRIDOR_M * view.pixels_per_metre)):
        top, left = row * side, column * side
        if not (0 <= top < height and 0 <= left < width):
            continue
        try:
            tile = source.tile(
                view.point(left + side / 2, top + side / 2), side / view.pixels_per_metre, 1.0 / view.pixels_per_metre
            )
        except (MapError, ConfigError):
            continue
        attribution = attribution or tile.attribution
        rgb = np.where(tile.valid[..., None], tile.rgb, np.uint8(PLAIN))
        picture[top : top + side, left : left + side] = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA)
    return None if attribution is None else (np.ascontiguousarray(picture[:height, :width]), attribution)


def _near(pixels: Array, side: int, reach: float) -> set[tuple[int, int]]:
    """Squares (row, column) with a part of the way in them, and those within `reach` pixels of these."""
    around = range(-math.ceil(reach / side), math.ceil(reach / side) + 1)
    visited = np.unique(np.floor(pixels / side).astype(np.int64), axis=0)
    return {(int(y) + dy, int(x) + dx) for x, y in visited for dy in around for dx in around}
