# SPDX-License-Identifier: Apache-2.0
"""Maps made of pixel grids: choose the grids, resample, composite, refuse what is not covered."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable

import numpy as np
from pyproj import Geod

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.maps.grid import PixelGrid, Pixels
from geodistill_core.maps.resample import nothing, resample
from geodistill_core.maps.source import MapSource
from geodistill_core.maps.target import PlaneTarget, Target
from geodistill_core.types import MAX_IMAGE_SIDE, GeoPoint, MapTile

_GEOD = Geod(ellps="WGS84")


def _tile_key(target: PlaneTarget, pixels: Pixels) -> str:
    """Equal for equal pixels at an equal place, on every machine and in every run."""
    digest = hashlib.blake2b(digest_size=16)
    center = target.center
    digest.update(np.array([center.latitude, center.longitude, target.metres_per_pixel], "<f8").tobytes())
    digest.update(np.ascontiguousarray(pixels[0]).data)
    digest.update(np.packbits(pixels[1]).data)
    return digest.hexdigest()


def plane_target(center: GeoPoint, extent_m: float, metres_per_pixel: float) -> PlaneTarget:
    """The picture that `MapSource.tile` fills. ConfigError for a side outside 16..8192 pixels."""
    if not (extent_m > 0.0 and metres_per_pixel > 0.0) or not np.isfinite(extent_m / metres_per_pixel):
        raise ConfigError(f"tile of {extent_m} m at {metres_per_pixel} m/px; both must be positive")
    side = round(extent_m / metres_per_pixel)
    if not 16 <= side <= MAX_IMAGE_SIDE:
        raise ConfigError(
            f"tile of {extent_m} m at {metres_per_pixel} m/px has {side} pixels a side; choose 16..{MAX_IMAGE_SIDE}"
        )
    return PlaneTarget(center, side, float(metres_per_pixel))


class GriddedSource(MapSource):
    """A map whose imagery lies in one or more pixel grids."""

    _closed = False

    @abstractmethod
    def grids(self, target: Target) -> Iterable[PixelGrid]:
        """Grids that may cover the target, the best one first."""

    def nearest_coverage(self, center: GeoPoint) -> GeoPoint:
        """A point of the map near `center`, for the error message."""
        return self.bounds().nearest(center)

    def close(self) -> None:
        """Refuse later reads."""
        self._closed = True

    def sample(self, target: Target) -> Pixels:
        """Fill a target; where several grids cover a pixel, the first one gives it."""
        if self._closed:
            raise MapError(f"the map {self.info().location} is closed; open it again")
        pixels: Pixels | None = None
        for grid in self.grids(target):
            pixels = resample(target, grid, pixels)
            if pixels[1].all():
                break
        return pixels or nothing(target.side, target.side)

    def tile(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile:
        """See `MapSource.tile`."""
        target = plane_target(center, extent_m, metres_per_pixel)
        pixels = self.sample(target)
        if not pixels[1].any():
            raise MapError(self._not_covered(center, extent_m))
        return self.picture(target, pixels)

    def picture(self, target: PlaneTarget, pixels: Pixels) -> MapTile:
        """The tile of a filled target."""
        key = _tile_key(target, pixels)
        return MapTile(*pixels, target.center, target.metres_per_pixel, key, self.attribution, self.map_sigma_m)

    def _not_covered(self, center: GeoPoint, extent_m: float) -> str:
        near = self.nearest_coverage(center)
        distance_m = _GEOD.inv(center.longitude, center.latitude, near.longitude, near.latitude)[2]
        where = (
            f"the nearest coverage is {distance_m:.0f} m away at {near.latitude:.6f}, {near.longitude:.6f}"
            if distance_m > 0.5
            else "the place lies in a gap of the map"
        )
        return (
            f"no imagery within the {extent_m:g} m tile at {center.latitude:.6f}, {center.longitude:.6f} in "
            f"{self.info().location}; {where}. Use a map that covers the place, or check the position"
        )
