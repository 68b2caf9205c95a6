# SPDX-License-Identifier: Apache-2.0
"""A PMTiles archive on a server, read by byte ranges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


class PMTilesSource(FileSource[Archive], PyramidSource):
    """Tiles of a remote archive; `tile_size` times `scale` of the spec is their side in pixels."""

    def zooms(self) -> tuple[int, int]:
        """Those of the archive that the spec allows."""
        archive = self.head_at_hand()
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
        archive = self.head_at_hand()
        return super().bounds() if archive is None or self.spec.bounds is not None else archive.bounds

    def addresses(self, target: Target) -> Sequence[TileAddress]:
        """See `RemoteSource.addresses`."""
        return (OPENING,) if self.head_at_hand() is None else super().addresses(target)

    def grids(self, target: Target) -> Iterable[PixelGrid]:
        """See `PyramidSource.grids`."""
        return () if self.head_at_hand() is None else super().grids(target)

    def read_piece(self, address: TileAddress) -> DecodedTile | None:
        """See `FileSource.read_piece`."""
        span = self.head().find(address.zoom, address.column, address.row, self.file.read)
        if span is None:
            return None
        name = f"tile {address} of {self.spec.name}"
        return decode_tile(self.file.read(*span), name, (self.spec.tile_pixels,))

    def read_head(self) -> Archive:
        """See `FileSource.read_head`."""
        return Archive(self.file.read, self.spec.name)
