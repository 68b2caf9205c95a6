# SPDX-License-Identifier: Apache-2.0
"""The local frame: metres east and north on the tangent plane of the WGS-84 ellipsoid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pyproj import Transformer

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.vectors import Number, float64_pair, holds, modulo, unbox
from geodistill_core.types import GeoPoint

SEMI_MAJOR_M = 6_378_137.0
ECCENTRICITY_SQ = (2.0 - 1.0 / 298.257223563) / 298.257223563
MAX_OFFSET_M = 1_000_000.0
_HEIGHT_TOLERANCE_M = 1e-6
_MAX_ITERATIONS = 12


@lru_cache(maxsize=256)
def _topocentric(latitude: float, longitude: float) -> Transformer:
    """Geodetic longitude, latitude (degrees), height -> east, north, up in metres at the given origin."""
    return Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 "
        f"+step +proj=topocentric +ellps=WGS84 +lon_0={longitude:.17g} +lat_0={latitude:.17g} +h_0=0"
    )


def wrap_longitude(longitude: Number) -> Number:
    """The equivalent longitude in [-180, 180) degrees."""
    return modulo(longitude, 180.0)


@dataclass(frozen=True, slots=True)
class LocalFrame:
    """East-north tangent plane at `origin`; every point lies on the ellipsoid (height 0), its up is dropped.

    Both directions take floats or arrays (broadcast together) and are exact to well under a millimetre;
    longitudes may be given in any turn, so the frame is continuous across +-180 degrees.
    """

    origin: GeoPoint

    def _transformer(self) -> Transformer:
        return _topocentric(float(self.origin.latitude), float(self.origin.longitude))

    def to_enu(self, latitude: Number, longitude: Number) -> tuple[Number, Number]:
        """Degrees to metres (east, north). Raises ConfigError for what is not a coordinate."""
        lat, lon = float64_pair(latitude, longitude)
        if not (holds(abs(lat) <= 90.0) and holds(abs(lon) < math.inf)):
            raise ConfigError("a latitude is outside -90..90 degrees or a longitude is not finite; filter the input")
        east, north, _ = self._transformer().transform(lon, lat, 0.0 * lat)
        return unbox(east), unbox(north)

    def to_geodetic(self, east_m: Number, north_m: Number) -> tuple[Number, Number]:
        """Metres to (latitude, longitude in [-180, 180)) in degrees of the point on the ellipsoid.

        Raises ConfigError for offsets beyond 1000 km or not finite.
        """
        east, north = float64_pair(east_m, north_m)
        if not (holds(abs(east) <= MAX_OFFSET_M) and holds(abs(north) <= MAX_OFFSET_M)):
            raise ConfigError(f"an offset is beyond {MAX_OFFSET_M:.0f} m of the frame's origin, or not finite")
        transformer = self._transformer()
        # The plane floats above the ellipsoid: slide each point down until its height vanishes. The local
        # vertical leans by offset / earth radius; every step shrinks the height by half that angle squared.
        up = -(east**2 + north**2) / (2.0 * 6_371_000.0)
        for _ in range(_MAX_ITERATIONS):
            lon, lat, height = transformer.transform(east, north, up, direction="INVERSE")
            if holds(abs(height) <= _HEIGHT_TOLERANCE_M):
                break
            up = up - height
        return unbox(lat), wrap_longitude(unbox(lon))

    def point(self, east_m: float, north_m: float) -> GeoPoint:
        """The position `east_m`, `north_m` metres from the origin."""
        latitude, longitude = self.to_geodetic(east_m, north_m)
        return GeoPoint(latitude, longitude)


def offsets_enu_m(
    latitude: Number, longitude: Number, origin_latitude: Number, origin_longitude: Number
) -> tuple[Number, Number]:
    """Metres east and north of each point on the tangent plane at its own origin (degrees, broadcast together).

    The same as `LocalFrame(origin).to_enu` for one origin, without setting up a projection for every frame.
    """
    lat, lon, lat_0, lon_0 = (
        np.radians(np.asarray(angle, np.float64)) for angle in (latitude, longitude, origin_latitude, origin_longitude)
    )
    point, origin = _ecef_m(lat, lon), _ecef_m(lat_0, lon_0)
    x, y, z = (p - o for p, o in zip(point, origin, strict=True))
    outward = np.cos(lon_0) * x + np.sin(lon_0) * y
    east = np.cos(lon_0) * y - np.sin(lon_0) * x
    north = np.cos(lat_0) * z - np.sin(lat_0) * outward
    return unbox(east), unbox(north)


def _ecef_m(lat_rad: Any, lon_rad: Any) -> tuple[Any, Any, Any]:
    normal_m = SEMI_MAJOR_M / np.sqrt(1.0 - ECCENTRICITY_SQ * np.sin(lat_rad) ** 2)
    across_m = normal_m * np.cos(lat_rad)
    return (
        across_m * np.cos(lon_rad),
        across_m * np.sin(lon_rad),
        normal_m * (1.0 - ECCENTRICITY_SQ) * np.sin(lat_rad),
    )
