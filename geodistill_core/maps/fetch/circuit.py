# SPDX-License-Identifier: Apache-2.0
"""When to leave a server alone: after failures in a row, and when it asks for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from geodistill_core.maps.fetch.results import Absent, Cause, Fetched, FetchError, Health, Unchanged

FAILURES_IN_A_ROW = 5
PROBE_EVERY_S = 30.0
State = Literal["online", "degraded", "offline"]


class Circuit:
    """Opens after five failures in a row; from then on lets one request through every 30 s, until one succeeds."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name, self._clock, self._lock = name, clock, threading.Lock()
        self._failures, self._next_probe_s, self._not_before_s = 0, 0.0, clock()
        self._probing = False
        self._cause: Cause | None = None
        self._state: State = "online"
        self._since_s = clock()
        self._counters: Counter[str] = Counter()

    @property
    def is_open(self) -> bool:
        """Whether requests other than probes are held back."""
        return self._failures >= FAILURES_IN_A_ROW

    def pause_s(self) -> float:
        """Seconds that the server has asked to be left alone for, from now."""
        return max(0.0, self._not_before_s - self._clock())

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Let a request go. Raises FetchError with the cause of the last failure while the circuit is open."""
        with self._lock:
            is_probe = self.is_open
            if is_probe:
                self._require_probe_due()
                self._probing = True
            self._counters["requests"] += 1
        try:
            yield
        finally:
            if is_probe:
                with self._lock:
                    self._probing = False

    def _require_probe_due(self) -> None:
        wait_s = self._next_probe_s - self._clock()
        if self._probing or wait_s > 0.0:
            raise FetchError(
                self._cause or "offline",
                f"{self._name} has failed {self._failures} times in a row ({self._cause}) and is left alone; "
                f"the next attempt is in {max(wait_s, 0.0):.0f} s",
                max(wait_s, 1.0),
            )

    def count(self, what: str) -> None:
        """Add one to a counter."""
        with self._lock:
            self._counters[what] += 1

    def succeeded(self, outcome: Fetched | Unchanged | Absent) -> None:
        """The server gave a usable answer."""
        with self._lock:
            self._counters[type(outcome).__name__.lower()] += 1
            if isinstance(outcome, Fetched):
                self._counters["bytes"] += len(outcome.content)
            self._failures = 0
            self._enter("online", None)

    def limited(self, pause_s: float) -> None:
        """The server wants to be left alone for so long."""
        with self._lock:
            self._counters["rate_limited"] += 1
            self._failures = 0
            self._not_before_s = max(self._not_before_s, self._clock() + pause_s)
            self._enter("degraded", "rate_limited")

    def failed(self, cause: Cause) -> None:
        """A request ended without a usable answer."""
        with self._lock:
            self._counters[cause] += 1
            self._failures += 1
            self._next_probe_s = self._clock() + PROBE_EVERY_S
            self._enter("offline" if self.is_open or cause == "offline" else "degraded", cause)

    def _enter(self, state: State, cause: Cause | None) -> None:
        if state != self._state:
            self._state, self._since_s = state, self._clock()
        self._cause = cause

    def health(self) -> Health:
        """State, its cause and since when; a copy of the counters."""
        with self._lock:
            return Health(self._state, self._cause, self._clock() - self._since_s, dict(self._counters))
