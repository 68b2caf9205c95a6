# SPDX-License-Identifier: Apache-2.0
"""Requests to one source: few at a time, repeated where that helps, and never where the server asks for peace."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from geodistill_core.errors import ConfigError
from geodistill_core.maps.fetch.circuit import Circuit
from geodistill_core.maps.fetch.exchange import CONNECT_S, Answer, Exchange, Request
from geodistill_core.maps.fetch.results import Absent, Fetched, FetchError, Health, Unchanged
from geodistill_core.maps.fetch.verdict import RateLimitedError, judge_range, judge_tile
from geodistill_core.maps.validators import Validators

if TYPE_CHECKING:
    from geodistill_core.maps.secret import Secret
    from geodistill_core.maps.spec import SourceSpec

RETRIES = 3
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 8.0
_WORTH_A_RETRY = {"server", "timeout", "offline", "rate_limited"}
_TILE_BYTES = 2 * 1024 * 1024
_RANGE_BYTES = 64 * 1024 * 1024
_Outcome = TypeVar("_Outcome", bound="Fetched | Unchanged | Absent")


class Fetcher:
    """Asks the server of one source; safe from any thread, never more than `max_connections` requests in flight.

    `clock` gives seconds, `sleep` waits that long (default: until `stop` is set at the latest). Setting `stop` ends
    every wait, and makes all requests fail with the cause "cancelled". `{key}` in a URL is filled in for the request
    alone; no error, log line or counter holds the key, nor any part of a URL but its host.
    """

    def __init__(
        self,
        spec: SourceSpec,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        rng: random.Random | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.stop = stop or threading.Event()
        self._spec, self._clock = spec, clock
        self._sleep = sleep or self.stop.wait
        self._rng = rng or random.Random()
        self._exchange = Exchange(spec, self.stop)
        self._circuit = Circuit(spec.name, clock)
        self._slots = threading.BoundedSemaphore(spec.max_connections)

    def get(
        self, url: str, *, validators: Validators | None = None, deadline_s: float = 10.0
    ) -> Fetched | Unchanged | Absent:
        """One picture of the source's tile size, waits and retries included within `deadline_s` seconds.

        `validators` are those of a copy at hand: the answer may then be Unchanged. Raises FetchError; ConfigError
        where the environment lacks the source's key.
        """
        headers = {"Accept": "image/png, image/jpeg, image/webp"}
        if validators is not None and validators.etag:
            headers["If-None-Match"] = validators.etag
        if validators is not None and validators.last_modified:
            headers["If-Modified-Since"] = validators.last_modified
        limit = max(_TILE_BYTES, 4 * self._spec.tile_pixels**2)
        request = Request(url, headers, 200, limit)
        return self._persist(
            request, lambda answer: judge_tile(answer, self._spec, conditional=len(headers) > 1), deadline_s
        )

    def get_range(self, url: str, start: int, length: int, *, deadline_s: float = 10.0) -> Fetched:
        """Bytes start .. start + length of a file, fewer only where it ends earlier. Raises as `get`."""
        if start < 0 or not 1 <= length <= _RANGE_BYTES:
            raise ConfigError(f"bytes {start} .. {start} + {length}: a range holds 1..{_RANGE_BYTES} bytes from 0 on")
        request = Request(url, {"Range": f"bytes={start}-{start + length - 1}"}, 206, length)
        return self._persist(request, lambda answer: judge_range(answer, self._spec, start, length), deadline_s)

    def _persist(self, request: Request, judge: Callable[[Answer], _Outcome], deadline_s: float) -> _Outcome:
        """Try until it works, helps no more, or the time is over."""
        secret = self._spec.secret()
        if secret is not None:
            request = replace(request, url=self._spec.keyed(request.url, secret))
        self._exchange.check(request.url)
        until = self._clock() + deadline_s
        for attempt in itertools.count():
            with self._turn(until):
                outcome = self._attempt(request, judge, until, secret, attempt)
            if not isinstance(outcome, FetchError):
                return outcome
            delay_s = self._rng.uniform(0.0, min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2**attempt))
            helps = outcome.cause in _WORTH_A_RETRY and attempt < RETRIES and not self._circuit.is_open
            if not helps or self._clock() + delay_s >= until:
                raise outcome
            self._circuit.count("retries")
            self._rest(delay_s)
        raise AssertionError("unreachable")

    def _attempt(
        self,
        request: Request,
        judge: Callable[[Answer], _Outcome],
        until: float,
        secret: Secret | None,
        attempt: int,
    ) -> _Outcome | FetchError:
        """Ask once, and let the circuit know how it went. An error is returned: it may not be the last word."""
        within_s = until - self._clock()
        try:
            outcome = judge(self._exchange.ask(request, within_s, secret))
        except FetchError as error:
            text = str(error) if secret is None else secret.mask(str(error))
            error.args = (f"{self._spec.name}: {text}",)
            error.__cause__ = error.__context__ = None  # may repeat what the server sent, the key included
            if isinstance(error, RateLimitedError):
                unsaid_s = self._rng.uniform(1.0, 2.0) * 2**attempt
                self._circuit.limited(error.pause_s or unsaid_s)
            elif error.cause == "timeout" and within_s < CONNECT_S:
                self._circuit.count("hurried")  # whoever gives so little time learns nothing of the server
            elif error.cause != "cancelled":
                self._circuit.failed(error.cause)
            return error
        self._circuit.succeeded(outcome)
        return outcome

    @contextmanager
    def _turn(self, until: float) -> Iterator[None]:
        """One of the places for requests in flight, once the server may be asked. Raises FetchError."""
        while True:
            if not self._slots.acquire(timeout=max(0.0, until - self._clock())):
                raise FetchError("timeout", f"{self._spec.name}: all connections were busy with other requests", 1.0)
            try:
                self._rest(0.0)
                if self._clock() >= until:
                    raise FetchError("timeout", f"{self._spec.name}: no time was left for the request", 1.0)
                pause_s = self._circuit.pause_s()
                if pause_s <= 0.0:
                    with self._circuit.admitted():
                        yield
                    return
            finally:
                self._slots.release()
            if self._clock() + pause_s >= until:
                raise FetchError(
                    "rate_limited", f"{self._spec.name} asks to be left alone for {pause_s:.0f} s more", pause_s
                )
            self._rest(pause_s)

    def _rest(self, seconds: float) -> None:
        if seconds > 0.0:
            self._sleep(seconds)
        if self.stop.is_set():
            raise FetchError("cancelled", f"{self._spec.name}: the map is being closed")

    def health(self) -> Health:
        """How the server has been answering."""
        return self._circuit.health()

    def close(self) -> None:
        """Set `stop`, let requests in flight notice, and close the connections."""
        self.stop.set()
        places = [self._slots.acquire(timeout=1.0) for _ in range(self._spec.max_connections)]
        self._exchange.close()
        for _ in range(sum(places)):
            self._slots.release()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
