# SPDX-License-Identifier: Apache-2.0
"""Fetchers on the loopback server, with a clock that only moves when it is told to, or slept on."""

from __future__ import annotations

import random
import threading

from geodistill_core.maps.fetch import Fetcher, FetchError
from geodistill_core.maps.spec import SourceSpec, parse_source


class ManualClock:
    """Seconds; `sleep` moves them on and remembers how far."""

    def __init__(self) -> None:
        self.now_s, self.slept = 1000.0, []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now_s += seconds


def a_source(url: str, /, **fields: object) -> SourceSpec:
    """A tile service at `url` on terms of its own."""
    terms = {"attribution": "tests", "terms_url": "own", "terms_accepted": True, "cache_allowed": True}
    place = {"name": "loopback", "kind": "xyz", "url": f"{url}/{{z}}/{{x}}/{{y}}.png", "zooms": [0, 20]}
    return parse_source(place | terms | {"allow_private": True} | fields, "the test's source")


def a_fetcher(url: str, clock: ManualClock | None = None, /, **fields: object) -> Fetcher:
    """With a manual clock, its sleep too; jitter from a fixed seed."""
    if clock is None:
        return Fetcher(a_source(url, **fields), rng=random.Random(0))
    return Fetcher(a_source(url, **fields), clock=clock, sleep=clock.sleep, rng=random.Random(0))


def failure(fetcher: Fetcher, url: str, **options: object) -> FetchError:
    """The error that a tile ends in."""
    try:
        outcome = fetcher.get(url, **options)
    except FetchError as error:
        return error
    raise AssertionError(f"{outcome} instead of an error")
