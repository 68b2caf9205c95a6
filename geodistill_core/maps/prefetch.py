# SPDX-License-Identifier: Apache-2.0
"""Fetch imagery before it is needed, in the background, what is needed soonest first."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from geodistill_core.errors import GeodistillError
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.corridor import Outlook, Track, needed
from geodistill_core.maps.preload import PITCH_M, Preload, guess
from geodistill_core.maps.remote import RemoteSource
from geodistill_core.types import GeoPoint

# The tiles asked for lie on another grid than the nodes of the plan, and the vehicle beside its track.
_SLACK_M = 24.0
# An address that failed is left alone for this long; a place that was complete is looked at again after this long.
_RETRY_S, _COMPLETE_S = 5.0, 60.0
_REST_S = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Places of the present plan and how many of them are complete; places of preloads still to come; addresses."""

    planned: int
    complete: int
    preload_left: int
    loaded: int
    failed: int


class Prefetcher:
    """Loads what the vehicle is about to need of a remote map, for tiles of each (extent in m, metres per pixel).

    Everything but `step` and `close` may be called from any thread and never waits: the threads of this class lay out
    what is to be loaded. At most `workers` addresses are loaded at a time; what is no longer ahead is not asked for.
    """

    def __init__(
        self,
        source: RemoteSource,
        shapes: Sequence[tuple[float, float]],
        *,
        outlook: Outlook | None = None,
        workers: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._shapes, self._clock = source, tuple(shapes), clock
        self._outlook = outlook or Outlook()
        self._changed, self._choosing = threading.Condition(), threading.Lock()
        self._track: Track | None = None
        self._planned_for: Track | None = None
        self._plan: list[GeoPoint] = []
        self._walk: Iterator[TileAddress] = iter(())
        self._walk_ends_s = 0.0
        self._complete_s: dict[GeoPoint, float] = {}
        self._in_flight: set[TileAddress] = set()
        self._settled: set[TileAddress] = set()  # in this walk, which was laid out before
        self._retry_s: dict[TileAddress, float] = {}
        self._wish: Preload | None = None
        self._rested = False
        self._preload: Preload | None = None
        self._told = ""
        self._counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="map prefetch", daemon=True) for _ in range(workers)]

    def start(self) -> Prefetcher:
        """Work in background threads until closed."""
        for thread in self._threads:
            thread.start()
        return self

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop; False where a request still runs (it ends by itself)."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in started)

    def follow(self, track: Track) -> None:
        """The vehicle is here now, and moves like this: what is no longer ahead is dropped."""
        with self._changed:
            self._track = track
            self._changed.notify_all()

    def rest(self) -> None:
        """Forget the vehicle, and what was to be preloaded; requests under way are finished."""
        with self._changed:
            self._track, self._wish, self._rested = None, None, True
            self._changed.notify_all()

    def preload(self, center: GeoPoint, radius_m: float, permit: Callable[[int], None] = lambda tiles: None) -> int:
        """Load everything within `radius_m`, after what driving needs, instead of what was to be preloaded before.

        Returns about how many tiles that is. `permit` is told the number first, and raises where it is too large.
        MapError where it cannot be told, because the source is a file that has not been opened yet.
        """
        shapes = ((extent_m + PITCH_M + _SLACK_M, mpp) for extent_m, mpp in self._shapes)
        tiles = sum(guess(self._source, center, radius_m, *shape) for shape in shapes)
        permit(tiles)
        wish = Preload(center, radius_m)
        with self._changed:
            self._wish = wish
            self._changed.notify_all()
        return tiles

    def progress(self) -> Progress:
        """How far it is."""
        plan, complete = self._plan, self._complete_s
        done = sum(node in complete for node in plan)
        preload = self._wish or self._preload
        left = 0 if preload is None else preload.left()
        return Progress(len(plan), done, left, self._counts["loaded"], self._counts["failed"])

    def step(self) -> bool:
        """Load the address that is needed soonest; False where there is none at present, or it failed."""
        with self._choosing:
            address = self._next()
            if address is None:
                return False
            self._in_flight.add(address)
        settled = False
        try:
            settled = self._source.load(address)
        except GeodistillError as error:
            self._tell(f"{type(error).__name__}: {error}")
        finally:
            with self._choosing:
                self._in_flight.discard(address)
                self._counts["loaded" if settled else "failed"] += 1
                if settled:
                    self._settled.add(address)
                else:
                    self._retry_s[address] = self._clock() + _RETRY_S
                if self._preload is not None and settled:
                    self._preload.done(address)
                elif self._preload is not None:
                    self._preload.failed(address, self._source.health().state == "offline")
        return settled

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                found = self.step()
            except Exception as error:  # a thread that ends would be noticed where imagery is missing, much later
                found = False
                self._tell(f"{type(error).__name__}: {error}")
            if not found:
                with self._changed:
                    if not self._stop.is_set():
                        self._changed.wait(_REST_S)

    def _next(self) -> TileAddress | None:
        with self._changed:
            track, wish, rested = self._track, self._wish, self._rested
            self._wish, self._rested = None, False
        if rested:
            self._planned_for, self._plan, self._walk, self._preload = None, [], iter(()), None
        if wish is not None:
            self._preload = wish
        if track is not None:
            self._replan(track)
        address = next(self._walk, None)
        if address is not None or self._preload is None:
            return address
        return next(self._free(self._preload.addresses(lambda place: self._missing(place, PITCH_M) or {})), None)

    def _replan(self, track: Track) -> None:
        """Walk a new plan where the vehicle has moved, and the old one again where something may be missing."""
        now_s = self._clock()
        moved = self._planned_for is None or _differ(track, self._planned_for, self._outlook.pitch_m / 3)
        if moved:
            self._planned_for = track
            self._plan = needed(track, self._outlook)
            self._retry_s = {address: at_s for address, at_s in self._retry_s.items() if at_s > now_s}
            kept = set(self._plan)
            self._complete_s = {node: at_s for node, at_s in self._complete_s.items() if node in kept}
        if moved or now_s >= self._walk_ends_s:
            self._walk_ends_s = now_s + _RETRY_S
            self._settled.clear()
            self._walk = self._wanted(list(self._plan))

    def _wanted(self, plan: list[GeoPoint]) -> Iterator[TileAddress]:
        for node in plan:
            complete_s = self._complete_s.get(node)
            if complete_s is not None and self._clock() - complete_s < _COMPLETE_S:
                continue
            missing = self._missing(node, self._outlook.pitch_m)
            if missing == {}:
                self._complete_s[node] = self._clock()
            else:
                self._complete_s.pop(node, None)
            yield from self._free(missing or ())

    def _missing(self, node: GeoPoint, pitch_m: float) -> dict[TileAddress, None] | None:
        """None where the map cannot tell."""
        try:
            found = [self._source.missing(node, extent_m + pitch_m + _SLACK_M, mpp) for extent_m, mpp in self._shapes]
        except GeodistillError as error:
            self._tell(f"{type(error).__name__}: {error}")
            return None
        return dict.fromkeys(address for addresses in found for address in addresses)

    def _tell(self, trouble: str) -> None:
        """Warn, once of what happens again and again."""
        if trouble != self._told:
            self._told = trouble
            log.warning("imagery cannot be fetched ahead: %s", trouble)

    def _free(self, addresses: Iterable[TileAddress]) -> Iterator[TileAddress]:
        """Those that nobody has loaded or is loading, and that have not failed just now."""
        for address in addresses:
            busy = address in self._in_flight or address in self._settled
            if not busy and self._retry_s.get(address, 0.0) <= self._clock():
                yield address


def _differ(a: Track, b: Track, distance_m: float) -> bool:
    """Whether a plan for one is no plan for the other."""
    moved_m = a.distance_m(b.point)
    turned_mps = float(((a.east_mps - b.east_mps) ** 2 + (a.north_mps - b.north_mps) ** 2) ** 0.5)
    return moved_m > distance_m or turned_mps > max(2.0, 0.2 * b.speed_mps) or a.path != b.path
