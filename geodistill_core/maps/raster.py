# SPDX-License-Identifier: Apache-2.0
"""An image in memory as a map."""

from __future__ import annotations

import numpy as np

from geodistill_core.errors import MapError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.grid import PixelGrid, Pixels, Window, crop
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.types import Array, GeoPoint


class RasterSource(GriddedSource, PixelGrid):
    """A north-up image [H, W, 3] uint8 on the tangent plane at `center`, its edge coordinate (W/2, H/2)."""

    def __init__(
        self,
        rgb: Array,
        center: GeoPoint,
        metres_per_pixel: float,
        attribution: str = "",
        *,
        valid: Array | None = None,
    ) -> None:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
            raise MapError(f"raster is {rgb.shape} {rgb.dtype}; give H x W x 3 uint8 RGB")
        if valid is not None and (valid.shape != rgb.shape[:2] or valid.dtype != np.bool_):
            raise MapError(f"validity mask is {valid.shape} {valid.dtype}; give {rgb.shape[:2]} bool")
        if not 0.0 < metres_per_pixel < np.inf:
            raise MapError(f"metres_per_pixel {metres_per_pixel} must be positive")
        self.attribution = attribution
        self._rgb, self._valid = rgb, valid
        self._frame, self._metres_per_pixel = LocalFrame(center), float(metres_per_pixel)

    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """See `PixelGrid.to_pixel`."""
        east_m, north_m = self._frame.to_enu(latitude, longitude)
        height, width = self._rgb.shape[:2]
        return width / 2 + east_m / self._metres_per_pixel, height / 2 - north_m / self._metres_per_pixel

    def read(self, window: Window) -> Pixels:
        """See `PixelGrid.read`."""
        return crop(self._rgb, self._valid, window)

    def grids(self, target: Target) -> tuple[PixelGrid]:
        """The image itself."""
        return (self,)

    def bounds(self) -> GeoBounds:
        """The rectangle around the image's four edges."""
        height, width = self._rgb.shape[:2]
        along = np.linspace(-0.5, 0.5, 5)
        east, north = np.meshgrid(along * width * self._metres_per_pixel, along * height * self._metres_per_pixel)
        latitude, longitude = self._frame.to_geodetic(east, north)
        return GeoBounds.enclosing(latitude, longitude)

    def info(self) -> MapInfo:
        """What the map holds."""
        return MapInfo("raster", "memory", self.bounds(), (), self._metres_per_pixel, self.attribution)
