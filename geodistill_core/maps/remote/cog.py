# SPDX-License-Identifier: Apache-2.0
"""A GeoTIFF on a server, read by byte ranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.address import FINEST_ZOOM, TileAddress, cells_under
from geodistill_core.maps.geotiff import GeoTiffSource
from geodistill_core.maps.grid import PixelGrid, Window
from geodistill_core.maps.remote.file_source import OPENING, FileSource
from geodistill_core.maps.remote.tiff import Layout, measure, read_tiff
from geodistill_core.maps.resample import pixels_per_target_pixel
from geodistill_core.maps.slippy import ZOOM_SLACK, DecodedTile, read_cells
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.types import Array

CELL = 512


class _LevelGrid(PixelGrid):
    """One level, in cells."""

    def __init__(self, layout: Layout, level: int, read: Callable[[int, int], DecodedTile | None]) -> None:
        self._grid, self._read = layout.grid, read
        (width, height), full = layout.sizes[level], layout.sizes[0]
        self._scale = width / full[0], height / full[1]

    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """See `PixelGrid.to_pixel`."""
        column, row = self._grid.to_pixel(latitude, longitude)
        return column * self._scale[0], row * self._scale[1]

    def read(self, window: Window) -> tuple[Array, Array]:
        """See `PixelGrid.read`."""
        return read_cells(window, CELL, self._read)


class CogSource(FileSource[Layout]):
    """A cloud-optimized GeoTIFF in any coordinate system; its levels are cut into cells of 512 pixels."""

    def addresses(self, target: Target) -> Sequence[TileAddress]:
        """See `RemoteSource.addresses`."""
        layout = self.head_at_hand()
        if layout is None:
            return (OPENING,)
        level = self._level_for(layout, target)
        width, height = layout.sizes[level]
        cells = cells_under(target, self._grid(layout, level), CELL)
        return [
            TileAddress(FINEST_ZOOM - level, column, row)
            for column, row in cells
            if 0 <= column * CELL < width and 0 <= row * CELL < height
        ]

    def grids(self, target: Target) -> tuple[PixelGrid, ...]:
        """The level that suits the target."""
        layout = self.head_at_hand()
        return () if layout is None else (self._grid(layout, self._level_for(layout, target)),)

    def read_piece(self, address: TileAddress) -> DecodedTile | None:
        """See `FileSource.read_piece`."""
        layout = self.head()
        level = FINEST_ZOOM - address.zoom
        if not level < len(layout.sizes):
            return None
        window = Window(address.column * CELL, address.row * CELL, CELL, CELL)

        def read(source: GeoTiffSource) -> DecodedTile:
            # All at once: GDAL would come upon one block after the other.
            self.file.require(source.block_spans(window))
            return source.read(window)

        return read_tiff(self.file, self.spec.name, level, read)

    def bounds(self) -> GeoBounds:
        """As the spec says, else as the file does."""
        layout = self.head_at_hand()
        return super().bounds() if layout is None or self.spec.bounds is not None else layout.bounds

    def info(self) -> MapInfo:
        """What is known of the map without asking its server."""
        layout = self.head_at_hand()
        resolution = 0.0 if layout is None else layout.metres_per_pixel
        return MapInfo("cog", self.spec.name, self.bounds(), (), resolution, self.attribution)

    def _level_for(self, layout: Layout, target: Target) -> int:
        """The least detailed level that is as fine as the target, else the full one."""
        detail = pixels_per_target_pixel(target, layout.grid)
        widths = [width for width, _ in layout.sizes]
        fine = [level for level, width in enumerate(widths) if detail * width / widths[0] * ZOOM_SLACK >= 1.0]
        return max(fine, default=0)

    def _grid(self, layout: Layout, level: int) -> _LevelGrid:
        def read(column: int, row: int) -> DecodedTile | None:
            width, height = layout.sizes[level]
            if not (0 <= column * CELL < width and 0 <= row * CELL < height):
                return None
            piece = self.piece_at_hand(TileAddress(FINEST_ZOOM - level, column, row))
            return None if piece is None else piece.pixels

        return _LevelGrid(layout, level, read)

    def read_head(self) -> Layout:
        """See `FileSource.read_head`."""
        return measure(self.file, self.spec.name)
