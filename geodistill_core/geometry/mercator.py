# SPDX-License-Identifier: Apache-2.0
"""Web Mercator (EPSG:3857) tile arithmetic.

Global pixel coordinates are edge coordinates: (0, 0) is the north-west corner of the world, x grows east,
y south, and the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import wrap_longitude
from geodistill_core.geometry.vectors import Number, float64_pair, unbox

SEMI_MAJOR_M = 6_378_137.0
_FLATTENING = 1.0 / 298.257223563
_ECCENTRICITY_SQ = _FLATTENING * (2.0 - _FLATTENING)
MAX_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))
MAX_ZOOM = 30


def world_pixels(zoom: int, tile_size: int = 256) -> int:
    """Side of the world in pixels. Raises ConfigError for a zoom outside 0..30."""
    if not 0 <= zoom <= MAX_ZOOM:
        raise ConfigError(f"zoom {zoom} is outside 0..{MAX_ZOOM}")
    return int(tile_size) << int(zoom)


def _require_mercator_latitude(latitude: Any) -> None:
    # The last bit of the limit is lost on the way through pixels, hence the slack of a nano-degree.
    if not np.all(np.abs(latitude) <= MAX_LATITUDE + 1e-9):
        raise ConfigError(f"a latitude is beyond Web Mercator's limit of +-{MAX_LATITUDE:.4f} degrees, or not finite")


def metres_per_pixel(latitude: Number, zoom: int, tile_size: int = 256) -> Number:
    """Ground metres per pixel east-west, WGS-84: 2 pi N(latitude) cos(latitude) / world pixels."""
    _require_mercator_latitude(latitude)
    phi = np.radians(np.asarray(latitude, np.float64))
    normal_radius_m = SEMI_MAJOR_M / np.sqrt(1.0 - _ECCENTRICITY_SQ * np.sin(phi) ** 2)
    return unbox(2.0 * math.pi * normal_radius_m * np.cos(phi) / world_pixels(zoom, tile_size))  # type: ignore[no-any-return]


def zoom_as_fine_as(resolution_m: float, latitude: float) -> int:
    """The first zoom level of 256-pixel tiles that is as fine there, or a tenth coarser; 30 at most."""
    levels = math.log2(metres_per_pixel(latitude, 0) / (1.1 * resolution_m)) if resolution_m > 0.0 else MAX_ZOOM
    return min(max(math.ceil(levels), 0), MAX_ZOOM)


def to_pixel(latitude: Number, longitude: Number, zoom: int, tile_size: int = 256) -> tuple[Number, Number]:
    """Global edge coordinates (x, y).

    x is not wrapped: longitudes beyond 180 degrees continue past the world's edge. Raises ConfigError for
    latitudes beyond +-85.05 degrees.
    """
    lat, lon = float64_pair(latitude, longitude)
    _require_mercator_latitude(lat)
    world = world_pixels(zoom, tile_size)
    x = (lon / 360.0 + 0.5) * world
    y = (0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2.0 * math.pi)) * world
    return unbox(x), unbox(y)


def to_geodetic(x: Number, y: Number, zoom: int, tile_size: int = 256) -> tuple[Number, Number]:
    """(latitude, longitude) in degrees of global edge coordinates; longitude in [-180, 180)."""
    px, py = float64_pair(x, y)
    world = world_pixels(zoom, tile_size)
    latitude = np.degrees(np.arctan(np.sinh((0.5 - py / world) * 2.0 * math.pi)))
    return unbox(latitude), wrap_longitude(unbox((px / world - 0.5) * 360.0))


def tile_of(latitude: float, longitude: float, zoom: int) -> tuple[int, int]:
    """Slippy-map tile (column, row) that holds the point; columns wrap at +-180 degrees, row 0 is north."""
    x, y = to_pixel(float(latitude), float(longitude), zoom, 1)
    side = world_pixels(zoom, 1)
    return math.floor(x) % side, min(max(math.floor(y), 0), side - 1)


def tile_bounds(column: int, row: int, zoom: int) -> GeoBounds:
    """Edges of a slippy-map tile, its column in any turn. Raises ConfigError for a row off the world."""
    side = world_pixels(zoom, 1)
    if not 0 <= row < side:
        raise ConfigError(f"tile row {row} is outside 0..{side - 1} at zoom {zoom}")
    west = (column % side) / side * 360.0 - 180.0
    north, _ = to_geodetic(0.0, float(row), zoom, 1)
    south, _ = to_geodetic(0.0, float(row + 1), zoom, 1)
    return GeoBounds(west, south, west + 360.0 / side, north)
