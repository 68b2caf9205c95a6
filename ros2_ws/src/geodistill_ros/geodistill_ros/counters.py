# SPDX-License-Identifier: Apache-2.0
"""What operators count: named events and the recent latencies, safe to use from every thread."""

from __future__ import annotations

import threading
from collections import Counter, deque

import numpy as np


class Counters:
    """Event counts by dotted name, such as `dropped.stale`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Count `name`."""
        with self._lock:
            self._counts[name] += count

    def get(self, name: str) -> int:
        """How often `name` happened."""
        with self._lock:
            return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        """All counts, sorted by name."""
        with self._lock:
            return dict(sorted((name, count) for name, count in self._counts.items() if count))


class Durations:
    """The last durations of one activity in milliseconds."""

    def __init__(self, keep: int = 100) -> None:
        self._lock = threading.Lock()
        self._recent_ms: deque[float] = deque(maxlen=keep)

    def add(self, duration_ms: float) -> None:
        """Remember one duration."""
        with self._lock:
            self._recent_ms.append(duration_ms)

    def percentile(self, percent: float) -> float | None:
        """The percentile in milliseconds, None before the first duration."""
        with self._lock:
            recent = list(self._recent_ms)
        return float(np.percentile(recent, percent)) if recent else None
