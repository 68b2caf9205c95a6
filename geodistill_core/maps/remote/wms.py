# SPDX-License-Identifier: Apache-2.0
"""Web map services: pictures drawn on request, asked for as tiles so that they can be kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyproj

from geodistill_core.errors import ConfigError
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.remote.tiles import RemoteTiles
from geodistill_core.maps.resample import pixels_per_target_pixel
from geodistill_core.maps.slippy import ZOOM_SLACK, DecodedTile, SlippyGrid
from geodistill_core.maps.target import Target
from geodistill_core.maps.tile_requests import half_world
from geodistill_core.types import Array


class CrsGrid(SlippyGrid):
    """A zoom level of the square that reaches from -half to half in the units of a coordinate system."""

    def __init__(self, crs: pyproj.CRS, zoom: int, tile_size: int, read_tile: Any) -> None:
        super().__init__(zoom, tile_size, read_tile)
        self._half = half_world(crs)
        self._per_unit = (tile_size << zoom) / (2.0 * self._half)
        self._turn = 360.0 if crs.is_geographic else None
        self._to_crs = pyproj.Transformer.from_crs(4326, crs, always_xy=True)

    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """See `PixelGrid.to_pixel`."""
        x, y = (np.asarray(part, np.float64) for part in self._to_crs.transform(longitude, latitude))
        if self._turn is not None:
            x = x + self._turn * np.round((longitude - x) / self._turn)
        column, row = (x + self._half) * self._per_unit, (self._half - y) * self._per_unit
        return np.where(np.isfinite(column), column, np.nan), np.where(np.isfinite(row), row, np.nan)


class WmsSource(RemoteTiles):
    """A WMS in any coordinate system; its addresses cut up a square of that system, in Web Mercator the slippy one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        try:
            self._crs = pyproj.CRS(self.spec.crs)
        except pyproj.exceptions.CRSError as error:
            raise ConfigError(f"{self.spec.crs} of the source {self.spec.name} is not known") from error
        self._slippy = self.spec.crs == "EPSG:3857"

    def level(self, zoom: int) -> PixelGrid:
        """See `PyramidSource.level`."""
        if self._slippy:
            return super().level(zoom)
        return CrsGrid(self._crs, zoom, self.spec.tile_pixels, self.pixels_at_hand)

    def zoom_for(self, target: Target) -> int:
        """See `PyramidSource.zoom_for`."""
        if self._slippy:
            return super().zoom_for(target)
        first, last = self.spec.zooms
        finest = pixels_per_target_pixel(target, CrsGrid(self._crs, 0, self.spec.tile_pixels, _no_tile))
        if not finest > 0.0:
            return last
        return min(max(math.ceil(-math.log2(finest * ZOOM_SLACK)), first), last)

    def offers(self, address: TileAddress) -> bool:
        """See `RemoteTiles.offers`; bounds are known in degrees only."""
        return super().offers(address) if self._slippy else True


def _no_tile(column: int, row: int, zoom: int) -> DecodedTile | None:
    return None
