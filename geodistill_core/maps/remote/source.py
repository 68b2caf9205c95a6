# SPDX-License-Identifier: Apache-2.0
"""What all imagery fetched from elsewhere has in common: at hand, missing, load."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.cache import DiskCache, MemoryCache
from geodistill_core.maps.fetch import Fetcher, FetchError, Health
from geodistill_core.maps.grid import Pixels
from geodistill_core.maps.gridded import GriddedSource, plane_target
from geodistill_core.maps.slippy import DecodedTile
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.spec import SourceSpec
from geodistill_core.maps.target import Target
from geodistill_core.types import GeoPoint, MapTile

DECODED_BYTES = 128 << 20
"""Decoded tiles kept in memory unless told otherwise: some 600 of 256 pixels."""
_TILE_S, _REQUEST_S = 60.0, 10.0
_REMEMBERED_FAILURES = 10_000
_LOCKS = 64
_WORLD_NORTH = 85.0511


@dataclass(frozen=True, slots=True)
class Piece:
    """One address: its pixels, None where there is no imagery; used as it is while `fresh`, until asked again."""

    pixels: DecodedTile | None
    fresh: bool


class RemoteSource(GriddedSource):
    """A map whose imagery is fetched piece by piece; every piece has an address.

    `tile` and `sample` wait for what is missing, for `deadline_s` seconds at most, and raise FetchError when they
    cannot have it; `tile_at_hand` and `missing` never touch the network. Nothing is fetched before it is asked
    for, so a source opens without a network. Safe from any thread.
    """

    def __init__(
        self,
        spec: SourceSpec,
        fetcher: Fetcher,
        cache: DiskCache | None = None,
        *,
        memory_bytes: int = DECODED_BYTES,
        deadline_s: float = _TILE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec, self.fetcher = spec, fetcher
        self.attribution, self.map_sigma_m = spec.attribution, spec.map_sigma_m
        self.cache = cache if spec.cache_allowed else None
        self.memory_bytes, self.deadline_s, self.clock = memory_bytes, deadline_s, clock
        self._loading = tuple(threading.Lock() for _ in range(_LOCKS))
        self._failed: MemoryCache[TileAddress, tuple[float, FetchError]] = MemoryCache(_REMEMBERED_FAILURES)

    @abstractmethod
    def addresses(self, target: Target) -> Sequence[TileAddress]:
        """The pieces that a full picture is made of, nearest first."""

    @abstractmethod
    def piece_at_hand(self, address: TileAddress) -> Piece | None:
        """What memory and disk hold for an address, stale or not."""

    @abstractmethod
    def fetch_piece(self, address: TileAddress, deadline_s: float) -> None:
        """Bring a piece to hand. Raises FetchError, or MapError for content that is no piece of this map."""

    def instead(self, absent: Sequence[TileAddress], target: Target) -> Sequence[TileAddress]:
        """Pieces that stand in, less detailed, for pieces known to hold no imagery."""
        return ()

    def load(self, address: TileAddress) -> bool:
        """Bring one piece to hand; blocks. True when it is settled: here, or known to hold no imagery.

        ConfigError where the environment lacks the source's key.
        """
        try:
            self._load(address, self.clock() + _REQUEST_S)
        except MapError:
            return False
        return True

    def missing(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> tuple[TileAddress, ...]:
        """What `load` should bring for a full tile: absent pieces first, then stale ones, each nearest first."""
        absent: list[TileAddress] = []
        stale: list[TileAddress] = []
        for wanted in self._needed(plane_target(center, extent_m, metres_per_pixel)):
            for address in wanted:
                piece = self.piece_at_hand(address)
                if piece is None or not piece.fresh:
                    (absent if piece is None else stale).append(address)
        return (*absent, *stale)

    def tile_at_hand(self, center: GeoPoint, extent_m: float, metres_per_pixel: float) -> MapTile | None:
        """As `tile`, of what memory and disk hold; `valid` is False elsewhere. None when they hold nothing of it."""
        target = plane_target(center, extent_m, metres_per_pixel)
        pixels = super().sample(target)
        return self.picture(target, pixels) if pixels[1].any() else None

    def sample(self, target: Target) -> Pixels:
        """See `GriddedSource.sample`; waits for what is missing."""
        self._require_open()
        until_s = self.clock() + self.deadline_s
        for wanted in self._needed(target):
            waiting = [address for address in wanted if not self._is_fresh(address)]
            if len(waiting) > 1 and self.spec.max_connections > 1:
                with ThreadPoolExecutor(min(len(waiting), self.spec.max_connections)) as pool:
                    list(pool.map(lambda address: self.load_or_keep(address, until_s), waiting))
            else:
                for address in waiting:
                    self.load_or_keep(address, until_s)
        return super().sample(target)

    def health(self) -> Health:
        """How the service has answered lately."""
        return self.fetcher.health()

    def bounds(self) -> GeoBounds:
        """As the spec says, else the world of Web Mercator."""
        west, south, east, north = self.spec.bounds or (-180.0, -_WORLD_NORTH, 180.0, _WORLD_NORTH)
        return GeoBounds(west, south, east, north)

    def zooms(self) -> tuple[int, int]:
        """The first and the last zoom level."""
        return self.spec.zooms

    def info(self) -> MapInfo:
        """What is known of the map without asking its service."""
        first, last = self.zooms()
        bounds = self.bounds()
        resolution = mercator.metres_per_pixel(bounds.center.latitude, last, self.spec.tile_pixels)
        zooms = tuple(range(first, last + 1))
        return MapInfo(self.spec.kind, self.spec.name, bounds, zooms, resolution, self.attribution)

    def close(self) -> None:
        """End requests that are under way; later reads raise MapError. The cache stays open."""
        super().close()
        self.fetcher.close()

    def _needed(self, target: Target) -> Iterator[Sequence[TileAddress]]:
        """Pieces, then their stand-ins: each group is known only after the one before has been settled."""
        wanted = self.addresses(target)
        while wanted:
            yield wanted
            pieces = ((address, self.piece_at_hand(address)) for address in wanted)
            absent = [address for address, piece in pieces if piece is not None and piece.pixels is None]
            wanted = self.instead(absent, target)

    def _is_fresh(self, address: TileAddress) -> bool:
        piece = self.piece_at_hand(address)
        return piece is not None and piece.fresh

    def load_or_keep(self, address: TileAddress, until_s: float) -> None:
        """Load; a stale piece serves while its service does not."""
        try:
            self._load(address, until_s)
        except MapError:
            if self.piece_at_hand(address) is None:
                raise

    def _load(self, address: TileAddress, until_s: float) -> None:
        self._require_open()
        with self._loading[hash(address) % _LOCKS]:
            # Another thread may have brought it, or failed to, while this one waited.
            if self._is_fresh(address):
                return
            now_s = self.clock()
            failed = self._failed.get(address)
            if failed is not None and now_s < failed[0]:
                raise failed[1].with_traceback(None)
            if now_s >= until_s:
                raise FetchError("timeout", f"{self.spec.name} was too slow: {address} is not here in time; try again")
            try:
                self.fetch_piece(address, min(until_s - now_s, _REQUEST_S))
            except FetchError as error:
                self._failed.put(address, (self.clock() + error.retry_after_s, error), 1)
                raise
            self._failed.drop(address)

    def _require_open(self) -> None:
        if self._closed:
            raise MapError(f"the map {self.spec.name} is closed; open it again")
