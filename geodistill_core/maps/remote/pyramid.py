# SPDX-License-Identifier: Apache-2.0
"""Remote zoom levels: which one suits a picture, and which stand in where it has gaps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from geodistill_core.maps.address import TileAddress, cells_under, slippy_addresses
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.remote.source import RemoteSource
from geodistill_core.maps.slippy import DecodedTile, SlippyGrid, suitable_zoom
from geodistill_core.maps.target import Target

# How many zoom levels less detailed may stand in where the service has nothing better.
_STAND_IN_ZOOMS = 2


class PyramidSource(RemoteSource):
    """Zoom levels of square tiles. Where one has no tile, up to two levels less detailed stand in."""

    def level(self, zoom: int) -> PixelGrid:
        """The pixels of a zoom level, as far as they are at hand."""
        return SlippyGrid(zoom, self.spec.tile_pixels, self.pixels_at_hand)

    def zoom_for(self, target: Target) -> int:
        """The zoom level that suits a target's resolution."""
        first, last = self.zooms()
        return suitable_zoom(range(first, last + 1), target, self.spec.tile_pixels)

    def addresses(self, target: Target) -> Sequence[TileAddress]:
        """See `RemoteSource.addresses`."""
        return self.under(target, self.zoom_for(target))

    def instead(self, absent: Sequence[TileAddress], target: Target) -> Sequence[TileAddress]:
        """See `RemoteSource.instead`."""
        least = max(self.zoom_for(target) - _STAND_IN_ZOOMS, self.zooms()[0])
        coarser = (self.parents(address) for address in absent if address.zoom > least)
        return tuple(dict.fromkeys(itertools.chain.from_iterable(coarser)))

    def parents(self, address: TileAddress) -> Iterable[TileAddress]:
        """The tiles of the next less detailed level that hold a tile."""
        return (address.parent,)

    def grids(self, target: Target) -> Iterable[PixelGrid]:
        """The zoom level that suits the target; for its gaps, less detailed ones of which something is at hand."""
        best = self.zoom_for(target)
        yield self.level(best)
        for zoom in range(best - 1, max(best - _STAND_IN_ZOOMS, self.zooms()[0]) - 1, -1):
            if any(self._shows(address) for address in self.under(target, zoom)):
                yield self.level(zoom)

    def pixels_at_hand(self, column: int, row: int, zoom: int) -> DecodedTile | None:
        """A tile's pixels, None where there is none at hand."""
        if not 0 <= row < 1 << zoom:
            return None
        piece = self.piece_at_hand(TileAddress(zoom, column, row))
        return None if piece is None else piece.pixels

    def cells(self, target: Target, zoom: int) -> list[tuple[int, int]]:
        """(column, row) of what the target shows of a level, nearest to its middle first, wherever they lie."""
        return cells_under(target, self.level(zoom), self.spec.tile_pixels)

    def under(self, target: Target, zoom: int) -> tuple[TileAddress, ...]:
        """The tiles of a level that the target shows, nearest to its middle first."""
        return slippy_addresses(self.cells(target, zoom), zoom)

    def _shows(self, address: TileAddress) -> bool:
        piece = self.piece_at_hand(address)
        return piece is not None and piece.pixels is not None
