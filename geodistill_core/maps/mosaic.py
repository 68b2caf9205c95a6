# SPDX-License-Identifier: Apache-2.0
"""A folder of GeoTIFFs as one map, each in a coordinate system of its own if need be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from pyproj import Geod

from geodistill_core.errors import MapError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.geotiff import GeoTiffSource
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.types import GeoPoint

SUFFIXES = (".tif", ".tiff")
_OPEN_FILES = 64
_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class _Sheet:
    path: Path
    bounds: GeoBounds
    metres_per_pixel: float
    attribution: str


def _measure(path: Path) -> _Sheet:
    with GeoTiffSource(path) as source:
        info = source.info()
    return _Sheet(path, info.bounds, info.metres_per_pixel, info.attribution)


def _distance_m(first: GeoPoint, second: GeoPoint) -> float:
    return float(_GEOD.inv(first.longitude, first.latitude, second.longitude, second.latitude)[2])


def _bounds_of(target: Target) -> GeoBounds:
    column, row = np.meshgrid(*[np.linspace(0.0, target.side, 5)] * 2)
    return GeoBounds.enclosing(*target.to_geodetic(column, row))


class MosaicSource(GriddedSource):
    """The `.tif` and `.tiff` files of a folder. Where they overlap, the finest wins, then the nearest.

    Raises:
        MapError: there is none, or one of them is no map.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise MapError(f"{folder} holds no GeoTIFF ({', '.join(SUFFIXES)})")
        self._sheets = [_measure(path) for path in paths]
        self.attribution = "; ".join(dict.fromkeys(sheet.attribution for sheet in self._sheets if sheet.attribution))
        # What is dropped here closes when the last reader lets go of it.
        self._open = lru_cache(maxsize=_OPEN_FILES)(GeoTiffSource)

    def grids(self, target: Target) -> list[PixelGrid]:
        """The sheets that touch the target, finest first, then nearest."""
        around = _bounds_of(target)
        touching = [sheet for sheet in self._sheets if sheet.bounds.touches(around)]
        touching.sort(key=lambda sheet: (sheet.metres_per_pixel, _distance_m(sheet.bounds.center, target.center)))
        return [self._open(sheet.path) for sheet in touching]

    def nearest_coverage(self, center: GeoPoint) -> GeoPoint:
        """The nearest point of the nearest sheet."""
        return min((sheet.bounds.nearest(center) for sheet in self._sheets), key=lambda at: _distance_m(at, center))

    def bounds(self) -> GeoBounds:
        """The rectangle around all sheets."""
        sides = [sheet.bounds for sheet in self._sheets]
        latitude = [side.south for side in sides] + [side.north for side in sides]
        longitude = [side.west for side in sides] + [side.east for side in sides]
        return GeoBounds.enclosing(np.array(latitude), np.array(longitude))

    def info(self) -> MapInfo:
        """What the map holds; the resolution is that of the finest sheet."""
        finest = min(sheet.metres_per_pixel for sheet in self._sheets)
        return MapInfo("mosaic", str(self._folder), self.bounds(), (), finest, self.attribution)

    def close(self) -> None:
        """Close the files."""
        super().close()
        self._open.cache_clear()
