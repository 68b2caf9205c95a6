# SPDX-License-Identifier: Apache-2.0
"""Drive fast on a map that comes from a slow and unreliable server: does any frame wait, and are its tiles full?"""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.evaluation.bench.clock import own_time_s
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.geometry.lattice import nearest_node
from geodistill_core.localization import LocalizerConfig
from geodistill_core.localization.ahead import Ahead
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.live import LiveMap
from geodistill_core.maps.prefetch import Prefetcher
from geodistill_core.maps.remote import RemoteSource, open_source
from geodistill_core.maps.serve.http import LocalServer, Reply, Request
from geodistill_core.maps.spec import parse_source
from geodistill_core.types import GeoPoint

FULL_SHARE, CONNECTIONS = 0.99, 2
_DATUM = GeoPoint(47.5, 8.7)
_FRAME_S, _FIX_S, _FIX_SIGMA_M = 0.1, 0.2, 3.0
# The road winds: its heading swings this far, over this length.
_SWING_RAD, _WINDING_M = 0.5, 400.0
_GRID_M = LocalizerConfig().tile_grid_m
_CACHE_BYTES = 256 << 20
_SEED = 7


@dataclass(frozen=True, slots=True)
class MapDriveOptions:
    """A drive of `seconds` after standing for `stand_s`, in real time; the server answers after `latency_s` and fails
    for a share of the requests. Tiles are `extent_m` wide at `metres_per_pixel`."""

    seconds: float = 60.0
    stand_s: float = 10.0
    speed_mps: float = 30.0
    latency_s: float = 0.3
    failure_share: float = 0.05
    extent_m: float = 96.0
    metres_per_pixel: float = 0.25

    def __post_init__(self) -> None:
        if not 1.0 <= self.seconds <= 3600.0:
            raise ConfigError(f"a drive of {self.seconds:g} s is outside 1..3600 s")


class _Server:
    """The same picture for every tile, late, and sometimes an error; counts requests and how many at a time."""

    def __init__(self, options: MapDriveOptions) -> None:
        self._options, self._lock, self._rng = options, threading.Lock(), random.Random(_SEED)
        noise = np.random.default_rng(_SEED).integers(0, 255, (32, 32, 3), np.uint8)
        picture = cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)
        self._picture = bytes(cv2.imencode(".jpg", picture)[1])
        self.requests = self.failed = self.in_flight = self.peak = 0
        self.http = LocalServer(self._answer)

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            self.requests += 1
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            fails = self._rng.random() < self._options.failure_share
            self.failed += fails
        time.sleep(self._options.latency_s)
        with self._lock:
            self.in_flight -= 1
        return Reply(b"busy", status=500) if fails else Reply(self._picture, "image/jpeg")


def bench_map_drive(options: MapDriveOptions, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Frames that waited for the map, the share of full tiles, and connections used; `step` once a second of drive.

    A frame waits where its tile takes half of the server's latency or longer; no request is that fast. Time in which
    the thread could run but other programs had the processor does not count.
    """
    server = _Server(options)
    with tempfile.TemporaryDirectory(prefix="geodistill-bench-") as folder:
        source = _open(server, Path(folder))
        live = LiveMap(source)
        shape = (options.extent_m, options.metres_per_pixel)
        ahead = Ahead(lambda point: False, Prefetcher(source, [shape], workers=CONNECTIONS)).start()
        try:
            taken_s = _drive(options, live, ahead, step)
        finally:
            live.close()
            ahead.close()
            server.http.close()
    tiles = live.condition().tiles
    full = tiles.get("full", 0) / len(taken_s)
    waited = sum(seconds >= options.latency_s / 2 for seconds in taken_s)
    return {
        "speed_mps": options.speed_mps,
        "seconds": options.seconds,
        "stood_s": options.stand_s,
        "latency_ms": options.latency_s * 1e3,
        "failure_share": options.failure_share,
        "frames": len(taken_s),
        "frames_waited": waited,
        "full_tiles": full,
        "tile_ms": {f"p{p}": float(np.percentile(taken_s, p)) * 1e3 for p in (50, 99)} | {"max": max(taken_s) * 1e3},
        "peak_connections": server.peak,
        "requests": server.requests,
        "failed_requests": server.failed,
        "limits": {"frames_waited": 0, "full_tiles": FULL_SHARE, "peak_connections": CONNECTIONS},
        "within_limits": waited == 0 and full >= FULL_SHARE and server.peak <= CONNECTIONS,
    }


def _open(server: _Server, folder: Path) -> RemoteSource:
    terms = {"attribution": "made up", "terms_url": "own", "terms_accepted": True, "cache_allowed": True}
    service = {"name": "bench", "kind": "xyz", "url": server.http.url + "/{z}/{x}/{y}.jpg", "zooms": [0, 20]}
    rest = {"allow_private": True, "max_connections": CONNECTIONS}
    return open_source(parse_source(terms | service | rest, "the bench"), cache=DiskCache(folder, _CACHE_BYTES))


def _drive(options: MapDriveOptions, live: LiveMap, ahead: Ahead, step: Callable[[], None]) -> list[float]:
    """Seconds that each frame of the drive spent on its tile."""
    rng, local = np.random.default_rng(_SEED), LocalFrame(_DATUM)
    taken_s: list[float] = []
    east_m = north_m = way_m = 0.0
    stand = round(options.stand_s / _FRAME_S)
    started_s = time.monotonic()
    prior = _DATUM
    for number in range(stand + round(options.seconds / _FRAME_S)):
        time.sleep(max(0.0, started_s + number * _FRAME_S - time.monotonic()))
        moving = number >= stand
        heading = _SWING_RAD * math.sin(way_m / _WINDING_M)
        if number % round(_FIX_S / _FRAME_S) == 0:
            error_m = rng.normal(0.0, _FIX_SIGMA_M, 2)
            prior = local.point(east_m + error_m[0], north_m + error_m[1])
            speed_mps = options.speed_mps if moving else 0.0
            ahead.follow(round(number * _FRAME_S * 1e9), prior, yaw_enu_rad=heading, speed_mps=speed_mps)
        if not moving:
            continue
        before_s = own_time_s()
        with contextlib.suppress(MapError):  # counted by the map
            live.tile(nearest_node(prior, _GRID_M), options.extent_m, options.metres_per_pixel)
        taken_s.append(own_time_s() - before_s)
        way_m += options.speed_mps * _FRAME_S
        east_m += options.speed_mps * _FRAME_S * math.cos(heading)
        north_m += options.speed_mps * _FRAME_S * math.sin(heading)
        if len(taken_s) % round(1.0 / _FRAME_S) == 0:
            step()
    return taken_s
