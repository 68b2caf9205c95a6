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
        if known is not None and not known[0].provisional:
            return known
        return self._encoded(self.source.tile(*self._question(center)))

    def prepare(self, point: GeoPoint) -> bool:
        """Encode the tile nearest to a position ahead of time; False where that is done, or imagery is missing."""
        center = nearest_node(point, self.grid_m)
        known = self._known(center)
        if known is not None and not known[0].provisional:
            return False
        try:
            tile = self.source.tile_ahead(*self._question(center))
        except MapError:
            return False
        if tile.provisional and not tile.valid.all():
            return False
        self._encoded(tile)
        return known is None or known[0].key != tile.key

    def _question(self, center: GeoPoint) -> tuple[GeoPoint, float, float]:
        return center, self.extent_m, self.network.metres_per_pixel

    def _known(self, center: GeoPoint) -> Encoded | None:
        with self._lock:
            if center in self._kept:
                self._kept.move_to_end(center)
            return self._kept.get(center)

    def _encoded(self, tile: MapTile) -> Encoded:
        """Keep a tile with its features, which are those of equal pixels where there are any."""
        center, name = tile.center, (tile.center, tile.key)
        with self._lock:
            known = self._kept.get(center)
            if known is not None and known[0].key == tile.key:
                return self._keep(tile, known[1])
            theirs = self._at_work.get(name)
            mine: Future[Any] = Future()
            if theirs is None:
                self._at_work[name] = mine
        if theirs is not None:
            return tile, theirs.result()
        try:
            features = self.network.encode_map(self.network.prepare_map(tile))
        except BaseException as error:
            with self._lock:
                del self._at_work[name]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._at_work[name]
            encoded = self._keep(tile, features)
        mine.set_result(features)
        return encoded

    def _keep(self, tile: MapTile, features: Any) -> Encoded:
        encoded = self._kept[tile.center] = tile, features
        self._kept.move_to_end(tile.center)
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)
        return encoded
