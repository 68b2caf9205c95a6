# SPDX-License-Identifier: Apache-2.0
"""Tiles on disk: bounded, shared by processes, checked at every reading, never an obstacle."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from geodistill_core.maps.cache.entry import Cached, CacheStats
from geodistill_core.maps.validators import Validators


class DiskCache:
    """Files in `folder`, `max_bytes` of them at most; the least recently used go first.

    No fault of the disk is an error here: what cannot be read is a miss, what cannot be written is counted, and
    `stats().degraded` says why. Safe from any thread; several processes may share a folder, each with its own object.

    Raises:
        ConfigError: `max_bytes` is below 1 MiB.
    """

    def __init__(self, folder: str | Path, max_bytes: int, *, clock: Callable[[], float] = time.time) -> None:
        raise NotImplementedError

    def get(self, source_id: str, key: str) -> Cached | None:
        """What is kept for a key of a source, or None. Reads only: it never waits for a writer."""
        raise NotImplementedError

    def put(self, source_id: str, key: str, content: bytes | None, validators: Validators, max_age_s: float) -> None:
        """Keep a tile, or that there is none (`content` None), fresh for `max_age_s` seconds from now."""
        raise NotImplementedError

    def touch(self, source_id: str, key: str, max_age_s: float) -> None:
        """The server confirmed what is kept: fresh for `max_age_s` seconds from now."""
        raise NotImplementedError

    def stats(self) -> CacheStats:
        """See `CacheStats`."""
        raise NotImplementedError

    def close(self) -> None:
        """Write down what was used when, and release the index. Later reads miss, later writes are dropped."""
        raise NotImplementedError

    def __enter__(self) -> DiskCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
