# SPDX-License-Identifier: Apache-2.0
"""The gate on image stamps: finite order first (zero, backwards), then age against the node's clock."""

from __future__ import annotations


class StampGate:
    """Judge image stamps in order of arrival; remembers the newest one let through."""

    def __init__(self) -> None:
        self._last_ns = 0

    def check(self, stamp_ns: int, now_ns: int, max_age_s: float, max_future_s: float) -> str | None:
        """The reason to drop an image, None to let it pass.

        `now_ns` is 0 while a simulated clock has not ticked yet.
        """
        if stamp_ns <= 0:
            return "stamp_zero"
        if now_ns <= 0:
            return "no_clock"
        if now_ns - stamp_ns > max_age_s * 1e9:
            return "stale"
        if stamp_ns - now_ns > max_future_s * 1e9:
            return "future"
        if stamp_ns <= self._last_ns:
            return "stamp_backwards"
        self._last_ns = stamp_ns
        return None

    def is_ahead_of(self, now_ns: int, max_future_s: float) -> bool:
        """Whether an accepted stamp lies in the future: the clock has been set back since."""
        return self._last_ns - now_ns > max_future_s * 1e9

    def reset(self) -> None:
        """Forget the past, after the clock jumped back."""
        self._last_ns = 0
