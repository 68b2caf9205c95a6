# SPDX-License-Identifier: Apache-2.0
"""The Web Mercator world at one zoom level, cut into square tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from geodistill_core.geometry import mercator
from geodistill_core.maps.grid import PixelGrid, Pixels, Window
from geodistill_core.maps.target import Target
from geodistill_core.types import Array

DecodedTile = tuple[Array, Array | None]
"""rgb [size, size, 3] uint8, and the validity mask or None where all is valid."""


def bytes_of(pixels: DecodedTile | None) -> int:
    """What a decoded tile takes in memory, roughly."""
    parts = () if pixels is None else pixels
    return 256 + sum(part.nbytes for part in parts if part is not None)


def read_cells(window: Window, size: int, read: Callable[[int, int], DecodedTile | None]) -> Pixels:
    """A window put together from square cells of `size` pixels; `read(column, row)` gives them or None."""
    rgb = np.zeros((window.height, window.width, 3), np.uint8)
    valid = np.zeros((window.height, window.width), np.bool_)
    for row in range(window.row // size, -(-(window.row + window.height) // size)):
        for column in range(window.column // size, -(-(window.column + window.width) // size)):
            tile = read(column, row)
            if tile is None:
                continue
            y, x = row * size - window.row, column * size - window.column
            inside = np.s_[max(y, 0) : y + size, max(x, 0) : x + size]
            cut = np.s_[max(-y, 0) : window.height - y, max(-x, 0) : window.width - x]
            rgb[inside] = tile[0][cut]
            valid[inside] = True if tile[1] is None else tile[1][cut]
    return rgb, valid


# A zoom level is good enough up to this much coarser than the resolution asked for.
ZOOM_SLACK = 1.1


def suitable_zoom(zooms: Sequence[int], target: Target, tile_size: int) -> int:
    """The coarsest of ascending zoom levels that is as fine as the target, else the finest."""
    latitude = min(max(target.center.latitude, -mercator.MAX_LATITUDE), mercator.MAX_LATITUDE)
    coarsest_m = mercator.metres_per_pixel(latitude, 0, tile_size)
    for zoom in zooms:
        if coarsest_m / (1 << zoom) <= ZOOM_SLACK * target.metres_per_pixel:
            return zoom
    return zooms[-1]


class SlippyGrid(PixelGrid):
    """A zoom level; `read_tile(column, row, zoom)` gives its tiles or None, row 0 is north."""

    def __init__(self, zoom: int, tile_size: int, read_tile: Callable[[int, int, int], DecodedTile | None]) -> None:
        self._zoom, self._size, self._read_tile = zoom, tile_size, read_tile

    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """See `PixelGrid.to_pixel`."""
        if np.abs(latitude).max() > mercator.MAX_LATITUDE:
            return np.full_like(latitude, np.nan), np.full_like(latitude, np.nan)
        return mercator.to_pixel(latitude, longitude, self._zoom, self._size)

    def read(self, window: Window) -> Pixels:
        """See `PixelGrid.read`."""
        last = (1 << self._zoom) - 1
        return read_cells(window, self._size, lambda column, row: self._read_tile(column & last, row, self._zoom))
