# SPDX-License-Identifier: Apache-2.0
"""A folder of GeoTIFFs as one map, each in a coordinate system of its own if need be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from pyproj import Geod

from geodistill_core.errors import MapError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.geotiff import GeoTiffSource
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.types import Array, GeoPoint

SUFFIXES = (".tif", ".tiff")
_OPEN_FILES = 64
_GEOD = Geod(ellps="WGS84")


@dataclass(frozen=True, slots=True)
class _Sheet:
    path: Path
    bounds: GeoBounds
    metres_per_pixel: float
    attribution: str
    map_sigma_m: float


def _open(path: Path) -> GeoTiffSource:
    # Masks and overviews beside the file are asked for by name: listing thousands of neighbours takes longer.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
        return GeoTiffSource(path)


def _measure(path: Path) -> _Sheet:
    with _open(path) as source:
        info = source.info()
    return _Sheet(path, info.bounds, info.metres_per_pixel, info.attribution, source.map_sigma_m)


def _bounds_of(target: Target) -> GeoBounds:
    column, row = np.meshgrid(*[np.linspace(0.0, target.side, 5)] * 2)
    return GeoBounds.enclosing(*target.to_geodetic(column, row))


class MosaicSource(GriddedSource):
    """The `.tif` and `.tiff` files of a folder. Where they overlap, the finest wins, then the nearest.

    Every file is opened once to see where it lies, and then when a tile needs it; the 64 used last stay open.

    Raises:
        MapError: there is none, or one of them is no map.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise MapError(f"{folder} holds no GeoTIFF ({', '.join(SUFFIXES)})")
        self._sheets = [_measure(path) for path in paths]
        self._edges = np.array([[s.bounds.west, s.bounds.south, s.bounds.width, s.bounds.north] for s in self._sheets])
        self.attribution = "; ".join(dict.fromkeys(sheet.attribution for sheet in self._sheets if sheet.attribution))
        self.map_sigma_m = max(sheet.map_sigma_m for sheet in self._sheets)
        # What is dropped here closes when the last reader lets go of it.
        self._open = lru_cache(maxsize=_OPEN_FILES)(_open)

    def grids(self, target: Target) -> Iterator[PixelGrid]:
        """The sheets that touch the target, finest first, then nearest; opened as they are asked for."""
        touching = [self._sheets[index] for index in np.flatnonzero(self._touching(_bounds_of(target)))]
        distances_m = self._distances_m(touching, target.center)
        # To two digits: sheets of one survey measure a little differently from place to place.
        fineness = np.array([float(f"{sheet.metres_per_pixel:.1e}") for sheet in touching])
        for index in np.lexsort((distances_m, fineness)):
            yield self._open(touching[index].path)

    def _touching(self, around: GeoBounds) -> Array:
        """Which sheets share a point with the rectangle, as `GeoBounds.touches`, [sheets] bool."""
        west, south, width, north = self._edges.T
        in_latitude = (south <= around.north) & (around.south <= north)
        in_longitude = ((around.west - west) % 360.0 <= width) | ((west - around.west) % 360.0 <= around.width)
        return np.asarray(in_latitude & in_longitude)

    @staticmethod
    def _distances_m(sheets: list[_Sheet], point: GeoPoint) -> Array:
        """From their middles, [sheets]."""
        middles = [sheet.bounds.center for sheet in sheets]
        longitude = np.array([middle.longitude for middle in middles])
        latitude = np.array([middle.latitude for middle in middles])
        here = np.full_like(longitude, point.longitude), np.full_like(latitude, point.latitude)
        return np.asarray(_GEOD.inv(longitude, latitude, *here)[2])

    def nearest_coverage(self, center: GeoPoint) -> GeoPoint:
        """The nearest point of the nearest sheet."""
        near = [sheet.bounds.nearest(center) for sheet in self._sheets]
        return min(near, key=lambda at: _GEOD.inv(at.longitude, at.latitude, center.longitude, center.latitude)[2])

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
