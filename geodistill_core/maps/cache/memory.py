# SPDX-License-Identifier: Apache-2.0
"""Values in memory, bounded by the bytes they take."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from geodistill_core.errors import ConfigError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Contents of a memory cache, and how often it was asked with and without success."""

    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int


class MemoryCache(Generic[Key, Value]):
    """The values used last, `max_bytes` of them at most; safe from any thread.

    Raises:
        ConfigError: `max_bytes` is not positive.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ConfigError(f"memory for decoded tiles of {max_bytes} bytes must be positive")
        self.max_bytes = max_bytes
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._bytes = self._hits = self._misses = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """The value, which then counts as used last; None when it is not kept."""
        with self._lock:
            held = self._kept.get(key)
            if held is None:
                self._misses += 1
                return None
            self._hits += 1
            self._kept.move_to_end(key)
            return held[0]

    def __contains__(self, key: Key) -> bool:
        """Whether a value is kept; it does not count as used."""
        with self._lock:
            return key in self._kept

    def put(self, key: Key, value: Value, size_bytes: int) -> None:
        """Keep a value that takes `size_bytes`, dropping those unused longest; one beyond the limit is not kept."""
        with self._lock:
            self._forget(key)
            if size_bytes > self.max_bytes:
                return
            self._kept[key] = value, size_bytes
            self._bytes += size_bytes
            while self._bytes > self.max_bytes:
                self._bytes -= self._kept.popitem(last=False)[1][1]

    def drop(self, key: Key) -> None:
        """Forget a value, kept or not."""
        with self._lock:
            self._forget(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def stats(self) -> MemoryStats:
        """See `MemoryStats`."""
        with self._lock:
            return MemoryStats(len(self._kept), self._bytes, self.max_bytes, self._hits, self._misses)

    def _forget(self, key: Key) -> None:
        held = self._kept.pop(key, None)
        if held is not None:
            self._bytes -= held[1]
