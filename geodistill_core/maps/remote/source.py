# SPDX-License-Identifier: Apache-2.0
"""What all imagery fetched from elsewhere has in common: at hand, missing, load."""

from __future__ import annotations

from abc import abstractmethod

from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.fetch import Fetcher, Health
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.types import GeoPoint, MapTile


class RemoteSource(GriddedSource):
    """A map whose imagery is fetched piece by piece; every piece has an address.

    `tile` and `sample` wait for what is missing, `tile_at_hand` and `missing` never touch the network. Safe
    from any thread.
    """

    @property
    @abstractmethod
    def fetcher(self) -> Fetcher:
        """Who fetches."""

    @abstractmethod
    def tile_at_hand(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile | None:
        """As `tile`, of what memory and disk hold; `valid` is False elsewhere. None when they hold nothing of it."""

    @abstractmethod
    def missing(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> tuple[TileAddress, ...]:
        """What `load` should bring for a full tile: absent pieces first, then stale ones, each nearest first."""

    @abstractmethod
    def load(self, address: TileAddress) -> bool:
        """Bring one piece to hand; blocks. True when it is settled: here, or known to hold no imagery."""

    def health(self) -> Health:
        """How the service has answered lately."""
        return self.fetcher.health()
