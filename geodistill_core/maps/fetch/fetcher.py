# SPDX-License-Identifier: Apache-2.0
"""Requests to one source, within its terms."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from geodistill_core.maps.fetch.results import Absent, Fetched, Health, Unchanged
from geodistill_core.maps.validators import Validators

if TYPE_CHECKING:
    from geodistill_core.maps.spec import SourceSpec


class Fetcher:
    """Asks the server of one source; safe from any thread, never more than `max_connections` requests in flight.

    `clock` gives seconds, `sleep` waits that long (default: until `stop` is set at the latest). Setting `stop` ends
    every wait, and makes all requests fail with the cause "cancelled".
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

    def get(
        self, url: str, *, validators: Validators | None = None, deadline_s: float = 10.0
    ) -> Fetched | Unchanged | Absent:
        """One picture of the source's tile size, waits and retries included within `deadline_s` seconds.

        `validators` are those of a copy at hand: the answer may then be Unchanged. Raises FetchError.
        """
        raise NotImplementedError

    def get_range(self, url: str, start: int, length: int, *, deadline_s: float = 10.0) -> Fetched:
        """Bytes start .. start + length of a file, fewer only where it ends earlier. Raises FetchError."""
        raise NotImplementedError

    def health(self) -> Health:
        """How the server has been answering."""
        raise NotImplementedError

    def close(self) -> None:
        """Set `stop` and close the connections."""
        self.stop.set()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
