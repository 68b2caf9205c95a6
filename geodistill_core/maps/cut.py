# SPDX-License-Identifier: Apache-2.0
"""Pictures of any shape from any map: what tile writers and tile servers share."""

from __future__ import annotations

from typing import Protocol

from geodistill_core.errors import MapError
from geodistill_core.maps.grid import Pixels
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.raster import RasterSource
from geodistill_core.maps.resample import nothing
from geodistill_core.maps.target import Target
from geodistill_core.types import GeoPoint, MapTile


class TileGiver(Protocol):
    """Anything that answers as `MapSource.tile` does."""

    def tile(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile:
        """See `MapSource.tile`."""


def cut(source: TileGiver, target: Target) -> Pixels:
    """Fill the target from the source; nothing is valid where the source has nothing."""
    if isinstance(source, GriddedSource):
        return source.sample(target)
    # A margin of 2 % and 2 pixels: a Mercator square leans against the tangent plane's.
    extent_m = (target.side * 1.02 + 4) * target.metres_per_pixel
    try:
        tile = source.tile(target.center, extent_m, target.metres_per_pixel)
    except MapError:
        return nothing(target.side, target.side)
    return RasterSource(tile.rgb, tile.center, tile.metres_per_pixel, valid=tile.valid).sample(target)
