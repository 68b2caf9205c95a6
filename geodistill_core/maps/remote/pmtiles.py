# SPDX-License-Identifier: Apache-2.0
"""A PMTiles archive on a server, read by byte ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geodistill_core.errors import MapError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.decode import decode_tile
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.pmtiles import Archive
from geodistill_core.maps.remote.file_source import OPENING, FileSource
from geodistill_core.maps.remote.pyramid import PyramidSource
from geodistill_core.maps.slippy import DecodedTile
from geodistill_core.maps.target import Target


class PMTilesSource(FileSource, PyramidSource):
    """Tiles of a remote archive; `tile_size` times `scale` of the spec is their side in pixels."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._archive: tuple[str, Archive] | None = None

    def is_open(self) -> bool:
        """See `FileSource.is_open`."""
        return self._at_hand() is not None

    def zooms(self) -> tuple[int, int]:
        """Those of the archive that the spec allows."""
        archive = self._at_hand()
        first, last = self.spec.zooms
        if archive is None:
            return first, last
        both = [zoom for zoom in archive.zooms if first <= zoom <= last]
        if not both:
            raise MapError(
                f"{self.spec.name} holds zooms {archive.zooms[0]}..{archive.zooms[-1]}, none in zooms of the spec"
            )
        return both[0], both[-1]

    def bounds(self) -> GeoBounds:
        """As the spec says, else as the archive does."""
        archive = self._at_hand()
        return super().bounds() if archive is None or self.spec.bounds is not None else archive.bounds

    def addresses(self, target: Target) -> Sequence[TileAddress]:
        """See `RemoteSource.addresses`."""
        return super().addresses(target) if self.is_open() else (OPENING,)

    def grids(self, target: Target) -> list[PixelGrid]:
        """See `PyramidSource.grids`."""
        return super().grids(target) if self.is_open() else []

    def read_piece(self, address: TileAddress) -> DecodedTile | None:
        """See `FileSource.read_piece`."""
        span = self._open().find(address.zoom, address.column, address.row, self.file.read)
        if span is None:
            return None
        name = f"tile {address} of {self.spec.name}"
        return decode_tile(self.file.read(*span), name, (self.spec.tile_pixels,))

    def _open(self) -> Archive:
        edition = self.file.edition()
        known = self._archive
        if known is None or known[0] != edition:
            # Raises where the head is not at hand, so an edition is known below.
            known = self._archive = edition or "", Archive(self.file.read, self.spec.name)
        return known[1]

    def _at_hand(self) -> Archive | None:
        try:
            return self._open()
        except MapError:
            return None
