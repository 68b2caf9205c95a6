# SPDX-License-Identifier: Apache-2.0
"""Tiles around positions with what a network makes of them, kept so that a tile is encoded once."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from geodistill_core.maps import MapSource
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import GeoPoint, MapTile

_DEGREE_M = 111_320.0


class EncodedTiles:
    """The last `capacity` tiles, each `extent_m` wide around a point of a global grid with a pitch of `grid_m`."""

    def __init__(
        self, network: AnyNetwork, source: MapSource, *, extent_m: float, grid_m: float, capacity: int
    ) -> None:
        self.network, self.source = network, source
        self.extent_m, self.grid_m, self.capacity = extent_m, grid_m, capacity
        self._kept: OrderedDict[GeoPoint, tuple[MapTile, Any]] = OrderedDict()

    def around(self, point: GeoPoint) -> tuple[MapTile, Any]:
        """The tile nearest to a position, and the network's map features of it.

        Raises:
            MapError: the source has no imagery there.
        """
        center = self._snapped(point)
        if center not in self._kept:
            tile = self.source.tile(center, self.extent_m, self.network.metres_per_pixel)
            self._kept[center] = tile, self.network.encode_map(self.network.prepare_map(tile))
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        self._kept.move_to_end(center)
        return self._kept[center]

    def _snapped(self, point: GeoPoint) -> GeoPoint:
        """The nearest point of the grid, so that neighbouring priors share one tile."""
        step = self.grid_m / _DEGREE_M
        latitude = round(point.latitude / step) * step
        stretch = step / max(math.cos(math.radians(round(latitude))), 0.01)
        return GeoPoint(latitude, round(point.longitude / stretch) * stretch)
