# SPDX-License-Identifier: Apache-2.0
"""Pyramids of square tiles in any coordinate system: national grids of WMTS, and what WMS is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import pyproj

from geodistill_core.geometry import mercator

if TYPE_CHECKING:
    from geodistill_core.maps.spec import SourceSpec

Box = tuple[float, float, float, float]
"""West, south, east, north in units of the coordinate system."""
WEB_MERCATOR = "EPSG:3857"
_HALF_WORLD_M = math.pi * mercator.SEMI_MAJOR_M
# The pixel that scales of WMTS are meant for.
_PIXEL_M = 0.00028
# Edges of tiles that are the same come out a little different.
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Zoom levels from `first` on, of `resolutions` units of `crs` per pixel; (west, north) is their common corner."""

    crs: str
    west: float
    north: float
    first: int
    resolutions: tuple[float, ...]
    tile_pixels: int

    def resolution(self, zoom: int) -> float:
        """Units per pixel of a level."""
        return self.resolutions[zoom - self.first]

    def box(self, zoom: int, column: int, row: int) -> Box:
        """The edges of a tile; row 0 is in the north."""
        side = self.resolution(zoom) * self.tile_pixels
        west, north = self.west + column * side, self.north - row * side
        return west, north - side, west + side, north

    def tiles(self, zoom: int, box: Box) -> Iterator[tuple[int, int]]:
        """(column, row) of the tiles of a level that share more than an edge with a box."""
        side = self.resolution(zoom) * self.tile_pixels
        left, right = (box[0] - self.west) / side, (box[2] - self.west) / side
        top, bottom = (self.north - box[3]) / side, (self.north - box[1]) / side
        for row in range(math.floor(top + _SAME), math.ceil(bottom - _SAME)):
            for column in range(math.floor(left + _SAME), math.ceil(right - _SAME)):
                yield column, row

    def wrapped(self, zoom: int, column: int) -> int:
        """The column within the world, where the level goes round it in whole tiles."""
        if not pyproj_crs(self.crs).is_geographic:
            return column
        around = 360.0 / (self.resolution(zoom) * self.tile_pixels)
        whole = round(around)
        return column % whole if whole and abs(around - whole) < _SAME * whole else column


@lru_cache(maxsize=64)
def pyproj_crs(name: str) -> pyproj.CRS:
    """A coordinate system by its name. CRSError: there is none."""
    return pyproj.CRS(name)


@lru_cache(maxsize=64)
def area_of(crs: str) -> Box | None:
    """What holds the area that a system is made for; None where nobody says."""
    system = pyproj_crs(crs)
    area = system.area_of_use
    if area is None:
        return None
    east = area.east if area.east >= area.west else area.east + 360.0
    to_crs = pyproj.Transformer.from_crs(4326, system, always_xy=True)
    x, y = to_crs.transform([area.west, area.west, east, east], [area.south, area.north, area.south, area.north])
    return (min(x), min(y), max(x), max(y)) if all(map(math.isfinite, [*x, *y])) else None


def is_corner(crs: str, east: float, north: float) -> bool:
    """Whether a grid of this system may begin there in the north-west, as far as that can be told."""
    area = area_of(crs)
    if area is None:
        return True
    x, y = (area[0] + area[2]) / 2, (area[1] + area[3]) / 2

    def away(first: float, second: float) -> float:
        return math.hypot(first - x, second - y) if first < area[2] and second > area[1] else math.inf

    # Where north was written before east the corner comes to lie far away, if not on the wrong side.
    return away(east, north) < min(math.inf, 3.0 * away(north, east))


def wms_grid(spec: SourceSpec) -> TileGrid:
    """The square that zoom levels of a WMS cut up: the world in degrees, or as wide as Web Mercator's.

    Twice as wide as often as it takes to hold systems whose numbers begin with their zone's.
    """
    half, area = _HALF_WORLD_M, area_of(spec.crs)
    if pyproj_crs(spec.crs).is_geographic:
        half = 180.0
    elif area is not None:
        while max(abs(area[0] + area[2]), abs(area[1] + area[3])) / 2 > half:
            half *= 2.0
    first, last = spec.zooms
    resolutions = tuple(2.0 * half / (spec.tile_pixels << zoom) for zoom in range(first, last + 1))
    return TileGrid(spec.crs, -half, half, first, resolutions, spec.tile_pixels)


def wmts_grid(spec: SourceSpec) -> TileGrid:
    """The grid that a WMTS in a system of its own states."""
    assert spec.origin is not None
    axis = pyproj_crs(spec.crs).axis_info[0]
    # A degree counts as on the equator.
    unit_m = axis.unit_conversion_factor * (mercator.SEMI_MAJOR_M if pyproj_crs(spec.crs).is_geographic else 1.0)
    resolutions = tuple(scale * _PIXEL_M / unit_m / spec.scale for scale in spec.scale_denominators)
    return TileGrid(spec.crs, *spec.origin, spec.zooms[0], resolutions, spec.tile_pixels)
