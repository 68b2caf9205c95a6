# SPDX-License-Identifier: Apache-2.0
"""A map for driving: it answers with what is at hand, at once, and says what that is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from geodistill_core.errors import MapError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.cache import MemoryCache
from geodistill_core.maps.fetch import Health
from geodistill_core.maps.remote import RemoteSource
from geodistill_core.maps.source import MapInfo, MapSource
from geodistill_core.types import GeoPoint, MapTile

AtHand = Literal["full", "edge", "stale", "partial", "none"]
"""All pixels are there; all that the service has are; are there, but due to be asked for again; some are missing;
all are."""


@dataclass(frozen=True, slots=True)
class MapCondition:
    """How the map's service answers, and what there was of the newest tile that an image asked for (None before the
    first).

    `tiles` counts such tiles by what there was of them.
    """

    health: Health
    newest: AtHand | None
    tiles: dict[str, int]


# A tile whose pieces were all there and fresh is given again for so long, and only then cut again.
_CUT_S, _CUT_BYTES = 60.0, 64 << 20


class LiveMap(MapSource):
    """A remote map whose `tile` never waits: what is not in memory or on disk is not `valid`.

    Somebody else brings it (see `Prefetcher`); until then the tile is `provisional`.
    """

    def __init__(self, source: RemoteSource) -> None:
        self.source = source
        self.attribution, self.map_sigma_m = source.attribution, source.map_sigma_m
        self._tiles: Counter[str] = Counter()
        self._newest: AtHand | None = None
        self._cut: MemoryCache[tuple[GeoPoint, float, float], tuple[float, MapTile]] = MemoryCache(_CUT_BYTES)

    def tile(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile:
        """See `MapSource.tile`; MapError also where imagery exists and nothing of it is at hand."""
        try:
            tile = self.tile_ahead(center, extent_m, metres_per_pixel)
        except MapError:
            self._note("none")
            raise
        self._note(_at_hand(tile))
        return tile

    def tile_ahead(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile:
        """See `MapSource.tile_ahead`; not counted in `condition`."""
        question, now_s = (center, extent_m, metres_per_pixel), self.source.clock()
        cut = self._cut.get(question)
        if cut is not None and now_s < cut[0]:
            return cut[1]
        # In this order: what arrives in between makes the tile look worse than it is, never better.
        missing = self.source.missing(center, extent_m, metres_per_pixel)
        tile = self.source.tile_at_hand(center, extent_m, metres_per_pixel)
        if tile is None:
            raise MapError(self._nothing_at(center, bool(missing)))
        tile = replace(tile, provisional=bool(missing))
        if not missing:
            self._cut.put(question, (now_s + _CUT_S, tile), tile.rgb.nbytes + tile.valid.nbytes)
        return tile

    def condition(self) -> MapCondition:
        """For diagnostics; touches neither network nor disk."""
        return MapCondition(self.source.health(), self._newest, dict(self._tiles))

    def bounds(self) -> GeoBounds:
        """See `MapSource.bounds`."""
        return self.source.bounds()

    def info(self) -> MapInfo:
        """See `MapSource.info`."""
        return self.source.info()

    def close(self) -> None:
        """See `MapSource.close`; the cache on disk, which nobody else uses, is closed with it."""
        self.source.close()
        self._cut.clear()
        if self.source.cache is not None:
            self.source.cache.close()

    def _note(self, at_hand: AtHand) -> None:
        self._newest = at_hand
        self._tiles[at_hand] += 1

    def _nothing_at(self, center: GeoPoint, expected: bool) -> str:
        where = f"no imagery at hand around {center.latitude:.6f}, {center.longitude:.6f}"
        if not expected:
            return f"{where}: the service has none there. Use a map that covers the place, or check the position"
        health = self.source.health()
        if health.state == "offline":
            return (
                f"{where}, and the map's service is offline ({health.cause}) for {health.since_s:.0f} s. Stay on "
                "imagery that is already here, or load the area before driving (~/preload_map, `geodistill map fetch`)"
            )
        return f"{where}: it has been asked for. Load the area before driving (~/preload_map, `geodistill map fetch`)"


def _at_hand(tile: MapTile) -> AtHand:
    if tile.provisional:
        return "stale" if tile.valid.all() else "partial"
    return "full" if tile.valid.all() else "edge"


def live_map(source: MapSource) -> MapSource:
    """The map as a vehicle needs it: remote ones answer at once with what is at hand, local ones are what they are."""
    return LiveMap(source) if isinstance(source, RemoteSource) else source
