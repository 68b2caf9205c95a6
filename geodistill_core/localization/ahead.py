# SPDX-License-Identifier: Apache-2.0
"""Look ahead of a vehicle: its map is fetched, and what the network makes of it computed, before its images come."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence

from geodistill_core.errors import GeodistillError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.corridor import Track
from geodistill_core.maps.prefetch import Prefetcher
from geodistill_core.types import GeoPoint

# How far ahead map features are computed: they take memory and time, and predictions go wrong.
_ENCODE_S, _ENCODE_PITCH_M, _ENCODE_PLACES = 2.0, 4.0, 8
# Without odometry the velocity is that between fixes this far apart.
_BASELINE_S, _LONGEST_S = 1.5, 10.0
_REST_S = 0.5

log = logging.getLogger(__name__)


class Ahead:
    """Follows a vehicle: a `Prefetcher` brings the imagery of a remote map, a thread of its own calls `prepare`.

    `prepare(point)` encodes the map around a point (`Localizer.prepare`). Every method returns at once.
    """

    def __init__(self, prepare: Callable[[GeoPoint], bool], prefetcher: Prefetcher | None = None) -> None:
        self.prefetcher = prefetcher
        self._prepare = prepare
        self._places: deque[tuple[float, GeoPoint]] = deque()
        self._path: tuple[GeoPoint, ...] = ()
        self._track: Track | None = None
        self._changed, self._closed = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="map encoding", daemon=True)

    def start(self) -> Ahead:
        """Work in the background until closed."""
        self._thread.start()
        if self.prefetcher is not None:
            self.prefetcher.start()
        return self

    def close(self, timeout_s: float = 2.0) -> bool:
        """Stop; False where a request or an encoding still runs (it ends by itself)."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        fetched = self.prefetcher is None or self.prefetcher.close(timeout_s)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return fetched and not self._thread.is_alive()

    def follow(
        self, stamp_ns: int, point: GeoPoint, *, yaw_enu_rad: float | None = None, speed_mps: float | None = None
    ) -> Track:
        """The vehicle is at a point now; heading and speed where they are known, else from the points before."""
        east_mps, north_mps = self._velocity(stamp_ns * 1e-9, point)
        if speed_mps is not None and yaw_enu_rad is not None:
            east_mps, north_mps = speed_mps * math.cos(yaw_enu_rad), speed_mps * math.sin(yaw_enu_rad)
        track = Track(point, east_mps, north_mps, self._path)
        if self.prefetcher is not None:
            self.prefetcher.follow(track)
        with self._changed:
            self._track = track
            self._changed.notify_all()
        return track

    def rest(self) -> None:
        """Forget the vehicle, its path, and what was to be preloaded, until `follow` is called again."""
        self._places.clear()
        self._path, self._track = (), None
        if self.prefetcher is not None:
            self.prefetcher.rest()

    def along(self, path: Sequence[GeoPoint]) -> None:
        """The vehicle means to follow this path from now on; an empty one ends that."""
        self._path = tuple(path)

    def step(self) -> bool:
        """Encode the map at the nearest place ahead that wants it; False where none does."""
        track = self._track
        if track is None:
            return False
        return any(self._prepared(point) for point in track.ahead(_ENCODE_S, _ENCODE_PITCH_M)[:_ENCODE_PLACES])

    def _prepared(self, point: GeoPoint) -> bool:
        try:
            return self._prepare(point)
        except (GeodistillError, RuntimeError, ValueError) as error:
            # The same will be met, reported and counted with an image.
            log.debug("cannot encode ahead: %s", error)
            return False

    def _velocity(self, now_s: float, point: GeoPoint) -> tuple[float, float]:
        """East and north metres per second since a point about a second ago; zero where there is none."""
        if self._places and now_s < self._places[-1][0]:  # the clock jumped back
            self._places.clear()
        self._places.append((now_s, point))
        while len(self._places) > 2 and now_s - self._places[1][0] >= _BASELINE_S:
            self._places.popleft()
        then_s, start = self._places[0]
        if not _BASELINE_S * 0.5 <= now_s - then_s <= _LONGEST_S:
            return 0.0, 0.0
        east_m, north_m = LocalFrame(start).to_enu(point.latitude, point.longitude)
        return east_m / (now_s - then_s), north_m / (now_s - then_s)

    def _run(self) -> None:
        while not self._closed:
            if not self.step():
                with self._changed:
                    if not self._closed:
                        self._changed.wait(_REST_S)
