# SPDX-License-Identifier: Apache-2.0
"""Local maps made of Web Mercator tiles: choose the zoom level, keep decoded tiles, decode only what is asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.cache import MemoryCache
from geodistill_core.maps.decode import decode_tile
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.slippy import DecodedTile, SlippyGrid, bytes_of, suitable_zoom
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target

TILE_SIDES = (256, 512)
_DECODED_BYTES = 64 << 20


class SlippySource(GriddedSource):
    """Tiles of 256 or 512 pixels, all of one size.

    A tile comes from the coarsest zoom level that is as fine as the resolution asked for, else from the finest; what
    that level does not hold is not valid. `zooms` ascend.
    """

    kind = "tiles"

    def __init__(self, location: str, zooms: Sequence[int], bounds: GeoBounds, a_tile: bytes) -> None:
        self._location, self._zooms, self._bounds = location, tuple(zooms), bounds
        self.tile_size = len(decode_tile(a_tile, f"a tile of {location}", TILE_SIDES)[0])
        # In a tuple of one, since None says that the map has no such tile.
        self._decoded: MemoryCache[tuple[int, int, int], tuple[DecodedTile | None]] = MemoryCache(_DECODED_BYTES)

    @abstractmethod
    def content(self, column: int, row: int, zoom: int) -> bytes | None:
        """The picture of a slippy tile (row 0 in the north), None where the map has none."""

    def slippy_tile(self, column: int, row: int, zoom: int) -> DecodedTile | None:
        """Decoded slippy tile (row 0 in the north), None where the map has none."""
        known = self._decoded.get((column, row, zoom))
        if known is None:
            known = (self._read_tile(column, row, zoom),)
            self._decoded.put((column, row, zoom), known, bytes_of(known[0]))
        return known[0]

    def _read_tile(self, column: int, row: int, zoom: int) -> DecodedTile | None:
        content = self.content(column, row, zoom) if 0 <= row < 1 << zoom else None
        if content is None:
            return None
        return decode_tile(content, f"tile {zoom}/{column}/{row} of {self._location}", (self.tile_size,))

    def grids(self, target: Target) -> tuple[PixelGrid, ...]:
        """The zoom level that suits the target's resolution."""
        return (SlippyGrid(suitable_zoom(self._zooms, target, self.tile_size), self.tile_size, self.slippy_tile),)

    def bounds(self) -> GeoBounds:
        """As the map itself says, or around all tiles."""
        return self._bounds

    def info(self) -> MapInfo:
        """What the map holds."""
        resolution = mercator.metres_per_pixel(self._bounds.center.latitude, self._zooms[-1], self.tile_size)
        return MapInfo(self.kind, self._location, self._bounds, self._zooms, resolution, self.attribution)
