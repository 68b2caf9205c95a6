# SPDX-License-Identifier: Apache-2.0
"""A rectangle of longitudes and latitudes that may straddle the antimeridian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.types import Array, GeoPoint


@dataclass(frozen=True, slots=True)
class GeoBounds:
    """Degrees; `west` > `east` means that the rectangle crosses +-180 degrees."""

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        if not (-90.0 <= self.south <= self.north <= 90.0):
            raise ConfigError(f"latitudes {self.south}..{self.north} must ascend within -90..90 degrees")
        if not (-180.0 <= self.west <= 180.0 and -180.0 <= self.east <= 180.0):
            raise ConfigError(f"longitudes {self.west}, {self.east} must lie within -180..180 degrees")

    @classmethod
    def enclosing(cls, latitude: Array, longitude: Array) -> GeoBounds:
        """The rectangle around points (degrees, longitudes in any turn) that span less than 180 degrees."""
        first = float(np.ravel(longitude)[0])
        eastward = (np.asarray(longitude) - first + 180.0) % 360.0 - 180.0
        west, east = GeoPoint(0.0, first + eastward.min()), GeoPoint(0.0, first + eastward.max())
        return cls(float(west.longitude), float(np.min(latitude)), float(east.longitude), float(np.max(latitude)))

    @property
    def width(self) -> float:
        """Degrees of longitude, 0..360."""
        return self.east - self.west if self.east >= self.west else self.east - self.west + 360.0

    @property
    def center(self) -> GeoPoint:
        """The middle in degrees."""
        return GeoPoint((self.south + self.north) / 2.0, self.west + self.width / 2.0)

    def contains(self, point: GeoPoint) -> bool:
        """Whether the point lies inside or on the edge."""
        return self.south <= point.latitude <= self.north and (point.longitude - self.west) % 360.0 <= self.width

    def touches(self, other: GeoBounds) -> bool:
        """Whether the rectangles share a point."""
        in_latitude = self.south <= other.north and other.south <= self.north
        in_longitude = (other.west - self.west) % 360.0 <= self.width or (self.west - other.west) % 360.0 <= other.width
        return in_latitude and in_longitude

    def nearest(self, point: GeoPoint) -> GeoPoint:
        """The point of the rectangle nearest in latitude and, separately, in longitude."""
        latitude = min(max(point.latitude, self.south), self.north)
        eastward = (point.longitude - self.west) % 360.0
        if eastward <= self.width:
            return GeoPoint(latitude, point.longitude)
        past_east, before_west = eastward - self.width, 360.0 - eastward
        return GeoPoint(latitude, self.east if past_east <= before_west else self.west)
