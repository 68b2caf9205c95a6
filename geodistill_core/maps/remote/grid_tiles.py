# SPDX-License-Identifier: Apache-2.0
"""Services whose tiles lie in a grid of their own: WMS and WMTS in national and other coordinate systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyproj

from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps import tile_requests
from geodistill_core.maps.address import FINEST_ZOOM, TileAddress
from geodistill_core.maps.grid import PixelGrid, Pixels, Window
from geodistill_core.maps.remote.tiles import RemoteTiles
from geodistill_core.maps.resample import pixels_per_target_pixel
from geodistill_core.maps.slippy import ZOOM_SLACK, DecodedTile, read_cells
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.maps.tile_grid import Box, TileGrid, pyproj_crs, wms_grid, wmts_grid
from geodistill_core.types import Array


class _Level(PixelGrid):
    """One level of a grid."""

    def __init__(
        self, grid: TileGrid, zoom: int, to_crs: pyproj.Transformer, read: Callable[[int, int], DecodedTile | None]
    ) -> None:
        self._grid, self._to_crs, self._read = grid, to_crs, read
        self._resolution = grid.resolution(zoom)
        self._turn = 360.0 if pyproj_crs(grid.crs).is_geographic else None

    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """See `PixelGrid.to_pixel`."""
        x, y = (np.asarray(part, np.float64) for part in self._to_crs.transform(longitude, latitude))
        if self._turn is not None:
            x = x + self._turn * np.round((longitude - x) / self._turn)
        column, row = (x - self._grid.west) / self._resolution, (self._grid.north - y) / self._resolution
        return np.where(np.isfinite(column), column, np.nan), np.where(np.isfinite(row), row, np.nan)

    def read(self, window: Window) -> Pixels:
        """See `PixelGrid.read`."""
        return read_cells(window, self._grid.tile_pixels, self._read)


class GridTiles(RemoteTiles):
    """A WMS or WMTS in any coordinate system. Its addresses count levels so that the finest is `FINEST_ZOOM`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.grid = wms_grid(self.spec) if self.spec.kind == "wms" else wmts_grid(self.spec)
        self._to_crs = pyproj.Transformer.from_crs(4326, pyproj_crs(self.grid.crs), always_xy=True)
        self._offered = None if self.spec.bounds is None else self._box(GeoBounds(*self.spec.bounds))

    def bounds(self) -> GeoBounds:
        """As the spec says, else the area that the coordinate system is made for."""
        area = pyproj_crs(self.grid.crs).area_of_use
        if self.spec.bounds is not None or area is None:
            return super().bounds()
        return GeoBounds(area.west, area.south, area.east, area.north)

    def zooms(self) -> tuple[int, int]:
        """See `RemoteSource.zooms`; as addresses count them."""
        first, last = self.spec.zooms
        return FINEST_ZOOM - (last - first), FINEST_ZOOM

    def level(self, zoom: int) -> PixelGrid:
        """See `PyramidSource.level`."""

        def read(column: int, row: int) -> DecodedTile | None:
            address = self._address(zoom, column, row)
            piece = None if address is None else self.piece_at_hand(address)
            return None if piece is None else piece.pixels

        return _Level(self.grid, self._named(zoom), self._to_crs, read)

    def zoom_for(self, target: Target) -> int:
        """See `PyramidSource.zoom_for`."""
        first, last = self.zooms()
        detail = pixels_per_target_pixel(target, self.level(last))
        shrink = (self.grid.resolutions[-1] / resolution for resolution in self.grid.resolutions)
        fine = (first + index for index, share in enumerate(shrink) if detail * share * ZOOM_SLACK >= 1.0)
        return next(fine, last)

    def parents(self, address: TileAddress) -> Iterator[TileAddress]:
        """See `PyramidSource.parents`; several where levels do not nest."""
        box = self.grid.box(self._named(address.zoom), address.column, address.row)
        for column, row in self.grid.tiles(self._named(address.zoom) - 1, box):
            parent = self._address(address.zoom - 1, column, row)
            if parent is not None:
                yield parent

    def under(self, target: Target, zoom: int) -> tuple[TileAddress, ...]:
        """See `PyramidSource.under`."""
        found = (self._address(zoom, column, row) for column, row in self.cells(target, zoom))
        return tuple(dict.fromkeys(address for address in found if address is not None))

    def offers(self, address: TileAddress) -> bool:
        """See `RemoteTiles.offers`."""
        if self._offered is None:
            return True
        turns = (-360.0, 0.0, 360.0) if pyproj_crs(self.grid.crs).is_geographic else (0.0,)
        tile = self.grid.box(self._named(address.zoom), address.column, address.row)
        return any(_overlap((tile[0] + turn, tile[1], tile[2] + turn, tile[3]), self._offered) for turn in turns)

    def url_of(self, address: TileAddress) -> str:
        """See `RemoteTiles.url_of`."""
        return tile_requests.tile_url(self.spec, self._named(address.zoom), address.column, address.row)

    def info(self) -> MapInfo:
        """See `RemoteSource.info`; the resolution is measured at the middle, and zoom levels are the service's own."""
        middle = self.bounds().center
        x, y = self._to_crs.transform(middle.longitude, middle.latitude)
        step = np.array([x, x + self.grid.resolutions[-1]])
        longitude, latitude = self._to_crs.transform(step, np.array([y, y]), direction="INVERSE")
        resolution = pyproj.Geod(ellps="WGS84").inv(longitude[0], latitude[0], longitude[1], latitude[1])[2]
        return MapInfo(self.spec.kind, self.spec.name, self.bounds(), (), float(resolution), self.attribution)

    def _named(self, zoom: int) -> int:
        """A level's number at the service."""
        return zoom - FINEST_ZOOM + self.spec.zooms[1]

    def _address(self, zoom: int, column: int, row: int) -> TileAddress | None:
        """The address of a cell, None beyond the grid's corner."""
        column = self.grid.wrapped(self._named(zoom), column)
        return TileAddress(zoom, column, row) if 0 <= column < 1 << zoom and 0 <= row < 1 << zoom else None

    def _box(self, bounds: GeoBounds) -> Box | None:
        """What holds a rectangle of degrees; None where the system has no such place."""
        along = np.linspace(0.0, 1.0, 33)
        longitude, latitude = np.meshgrid(
            bounds.west + along * bounds.width, bounds.south + along * (bounds.north - bounds.south)
        )
        x, y = longitude, latitude
        if not pyproj_crs(self.grid.crs).is_geographic:
            x, y = self._to_crs.transform(longitude, latitude)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        # Between the samples an edge may bulge a little.
        slack_x, slack_y = 0.001 * np.ptp(x), 0.001 * np.ptp(y)
        low, high = (np.min(x) - slack_x, np.min(y) - slack_y), (np.max(x) + slack_x, np.max(y) + slack_y)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _overlap(first: Box, second: Box) -> bool:
    return first[0] <= second[2] and second[0] <= first[2] and first[1] <= second[3] and second[1] <= first[3]
