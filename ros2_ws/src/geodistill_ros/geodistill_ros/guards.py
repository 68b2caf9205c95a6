# SPDX-License-Identifier: Apache-2.0
"""One decorator around every callback: an exception that leaves a callback would end the executor's spin."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from geodistill_ros.counters import Counters

THROTTLE_S = 5.0
_MOST_TEXTS = 100


class ThrottledLog:
    """Warn at most once per `period_s` and key; every event is counted elsewhere."""

    def __init__(self, logger: Any, period_s: float = THROTTLE_S) -> None:
        self._logger = logger
        self._period_s = period_s
        self._next: dict[str, float] = {}
        self._said: set[str] = set()

    def warning(self, key: str, text: str) -> None:
        """Log `text` as a warning unless `key` spoke less than a period ago."""
        self._say(key, text, self._logger.warning)

    def error(self, key: str, text: str) -> None:
        """Log `text` as an error unless `key` spoke less than a period ago."""
        self._say(key, text, self._logger.error)

    def once(self, key: str, text: str) -> None:
        """Log `text` as an error unless it was logged before; a hundred texts at most."""
        if text not in self._said and len(self._said) < _MOST_TEXTS:
            self._said.add(text)
            self._logger.error(f"{key}: {text}")

    def _say(self, key: str, text: str, speak: Callable[[str], object]) -> None:
        now = time.monotonic()
        if now >= self._next.get(key, 0.0):
            self._next[key] = now + self._period_s
            speak(f"{key}: {text}")


def guarded(name: str, counters: Counters, log: ThrottledLog, callback: Callable[..., Any]) -> Callable[..., None]:
    """Wrap `callback` so that it never raises: `callback_errors.NAME` counts, the log explains."""

    @functools.wraps(callback)
    def call(*args: Any) -> None:
        try:
            callback(*args)
        except Exception as error:
            counters.add(f"callback_errors.{name}")
            log.error(f"callback_errors.{name}", f"{type(error).__name__}: {error}")

    return call
