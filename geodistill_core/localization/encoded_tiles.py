# SPDX-License-Identifier: Apache-2.0
"""Tiles around positions with what a network makes of them, kept so that a tile is encoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any

from geodistill_core.errors import MapError
from geodistill_core.geometry.lattice import nearest_node
from geodistill_core.maps import MapSource
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import GeoPoint, MapTile

Encoded = tuple[MapTile, Any]


class EncodedTiles:
    """The last `capacity` tiles, each `extent_m` wide around a point of a global grid with a pitch of `grid_m`.

    Safe from any thread: a tile that one thread encodes is awaited by the others, not encoded twice.
    """

    def __init__(
        self, network: AnyNetwork, source: MapSource, *, extent_m: float, grid_m: float, capacity: int
    ) -> None:
        self.network, self.source = network, source
        self.extent_m, self.grid_m, self.capacity = extent_m, grid_m, capacity
        self._kept: OrderedDict[GeoPoint, Encoded] = OrderedDict()
        self._at_work: dict[tuple[GeoPoint, str], Future[Any]] = {}
        self._lock = threading.Lock()

    def around(self, point: GeoPoint) -> Encoded:
        """The tile nearest to a position, and the network's map features of it.

        Raises:
            MapError: the source has no imagery there.
        """
        center = nearest_node(point, self.grid_m)
        known = self._known(center)
        if known is None or known[0].provisional:
            known = self._encoded(center, self._tile(center), known)
        return known

    def prepare(self, point: GeoPoint) -> bool:
        """Encode the tile nearest to a position ahead of time; False where that is done, or imagery is missing."""
        center = nearest_node(point, self.grid_m)
        known = self._known(center)
        if known is not None and not known[0].provisional:
            return False
        try:
            tile = self._tile(center)
        except MapError:
            return False
        if tile.provisional and not tile.valid.all():
            return False
        self._encoded(center, tile, known)
        return known is None or known[0].key != tile.key

    def _tile(self, center: GeoPoint) -> MapTile:
        return self.source.tile(center, self.extent_m, self.network.metres_per_pixel)

    def _known(self, center: GeoPoint) -> Encoded | None:
        with self._lock:
            if center in self._kept:
                self._kept.move_to_end(center)
            return self._kept.get(center)

    def _encoded(self, center: GeoPoint, tile: MapTile, known: Encoded | None) -> Encoded:
        """Keep a tile with its features, which are `known` where its pixels have not changed."""
        same = known is not None and known[0].key == tile.key
        encoded = tile, known[1] if known is not None and same else self._features(center, tile)
        with self._lock:
            self._kept[center] = encoded
            self._kept.move_to_end(center)
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        return encoded

    def _features(self, center: GeoPoint, tile: MapTile) -> Any:
        name = center, tile.key
        with self._lock:
            mine = name not in self._at_work
            future = self._at_work.setdefault(name, Future())
        if mine:
            try:
                future.set_result(self.network.encode_map(self.network.prepare_map(tile)))
            except BaseException as error:
                future.set_exception(error)
            finally:
                with self._lock:
                    del self._at_work[name]
        return future.result()
