# SPDX-License-Identifier: Apache-2.0
"""Pictures to fill: where each of their pixels lies on the earth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from geodistill_core.geometry import mercator
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array, GeoPoint


class Target(ABC):
    """A square picture of `side` pixels around `center`, of `metres_per_pixel` ground metres there."""

    center: GeoPoint
    side: int
    metres_per_pixel: float

    @abstractmethod
    def to_geodetic(self, column: Array, row: Array) -> tuple[Array, Array]:
        """Degrees (latitude, longitude) of edge coordinates."""


@dataclass(frozen=True)
class PlaneTarget(Target):
    """North-up on the tangent plane at `center`."""

    center: GeoPoint
    side: int
    metres_per_pixel: float

    def to_geodetic(self, column: Array, row: Array) -> tuple[Array, Array]:
        """See `Target.to_geodetic`."""
        east_m = (column - self.side / 2) * self.metres_per_pixel
        north_m = (self.side / 2 - row) * self.metres_per_pixel
        return LocalFrame(self.center).to_geodetic(east_m, north_m)


class SlippyTarget(Target):
    """The Web Mercator tile (column, row) at `zoom`, drawn with `side` pixels."""

    def __init__(self, column: int, row: int, zoom: int, side: int = 256) -> None:
        self.center = GeoPoint(*mercator.to_geodetic(column + 0.5, row + 0.5, zoom, 1))
        self.metres_per_pixel = mercator.metres_per_pixel(self.center.latitude, zoom, side)
        self._left, self._top, self._zoom, self.side = column * side, row * side, zoom, side

    def to_geodetic(self, column: Array, row: Array) -> tuple[Array, Array]:
        """See `Target.to_geodetic`."""
        return mercator.to_geodetic(self._left + column, self._top + row, self._zoom, self.side)
