# SPDX-License-Identifier: Apache-2.0
"""Tiles on disk: bounded, shared by processes, checked at every reading, never an obstacle."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from geodistill_core.errors import ConfigError
from geodistill_core.maps.cache.entry import Cached, CacheStats
from geodistill_core.maps.cache.files import SHARDS, TileFiles, seal
from geodistill_core.maps.cache.index import Change, Name, Row
from geodistill_core.maps.cache.keeper import Keeper
from geodistill_core.maps.cache.schema import ENTRY_BYTES
from geodistill_core.maps.cache.sweep import sweep
from geodistill_core.maps.cache.trouble import TROUBLE, explained, is_full
from geodistill_core.maps.validators import Validators

MIN_BYTES = 1 << 20
# Entries that one writing drops at most: a limit that was lowered is reached in steps.
_DROPS = 256
# How many tiles are written between two sweeps.
_SWEEP_EVERY = 16
# Reads that are remembered until the next writing: on a disk that cannot be written there is none.
_NOTED = 10_000
# What is let go beyond twice a tile's size where the disk is full before the limit is reached.
_ROOM_BYTES = 1 << 16
# A server's marks are kept up to this length; without a mark a tile is fetched anew.
_MARK_LENGTH = 256

Answer = TypeVar("Answer")


class DiskCache:
    """Files in `folder`, `max_bytes` of them at most; the least recently used go first.

    No fault of the disk is an error here: what cannot be read is a miss, what cannot be written is counted, and
    `stats().degraded` says why. Safe from any thread; several processes may share a folder, each with an object that it
    made itself (not before a fork). `clock`: seconds since the epoch.

    Raises:
        ConfigError: `max_bytes` is below 1 MiB.
    """

    def __init__(self, folder: str | Path, max_bytes: int, *, clock: Callable[[], float] = time.time) -> None:
        if max_bytes < MIN_BYTES:
            raise ConfigError(f"a tile cache of {max_bytes} bytes is too small; give it {MIN_BYTES} at least")
        self.folder, self.max_bytes = Path(folder), max_bytes
        self._clock, self._files, self._keeper = clock, TileFiles(self.folder / "tiles"), Keeper(self.folder)
        self._noting = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._used: dict[Name, None] = {}
        self._broken: dict[Row, None] = {}
        self._shard = random.randrange(SHARDS)
        self._degraded: str | None = None
        try:
            self._keeper.open()
        except TROUBLE as error:
            self._degraded = explained(error, self.folder)

    def get(self, source_id: str, key: str) -> Cached | None:
        """What is kept for a key of a source, or None. Reads only: it never waits for a writer."""
        row = self._keeper.read(lambda index: index.find(source_id, key), None)
        content = None
        if row and row.digest is not None:
            content = self._files.read(row.digest, row.size)
            if content is None or seal(source_id, key, content) != row.digest:
                self._drop(row, "damaged")
                row = None
        with self._noting:
            self._counts["hits" if row else "misses"] += 1
            if row is None:
                return None
            self._used.pop((source_id, key), None)
            self._used[source_id, key] = None
            if len(self._used) > _NOTED:
                del self._used[next(iter(self._used))]
        age_s = self._clock() - row.stored_s
        return Cached(content, Validators(row.etag, row.last_modified), row.stored_s, 0.0 <= age_s < row.max_age_s)

    def put(self, source_id: str, key: str, content: bytes | None, validators: Validators, max_age_s: float) -> None:
        """Keep a tile, or that there is none (`content` None), fresh for `max_age_s` seconds from now."""
        digest = None if content is None else seal(source_id, key, content)
        etag, modified = (_short(mark) for mark in (validators.etag, validators.last_modified))
        row = Row(source_id, key, digest, len(content or b""), etag, modified, self._clock(), max_age_s)
        if row.size + ENTRY_BYTES > self.max_bytes:
            self._count("unwritten")
            return

        def store() -> None:
            if digest is not None and content is not None:
                self._files.write(digest, content)
            replaced, gone = self._change(lambda change: (change.add(row), change.shrink(self.max_bytes, _DROPS)))
            self._count("evicted", len(gone))
            for unnamed in {replaced, *gone} - {digest}:
                if isinstance(unnamed, bytes):
                    self._files.remove(unnamed)

        self._write(store, row.size)
        self._sweep()

    def touch(self, source_id: str, key: str, max_age_s: float) -> None:
        """The server confirmed what is kept: fresh for `max_age_s` seconds from now."""
        now_s = self._clock()
        self._write(lambda: self._change(lambda change: change.confirm((source_id, key), now_s, max_age_s)), 0)

    def stats(self) -> CacheStats:
        """See `CacheStats`."""
        entries, size = self._keeper.read(lambda index: index.totals(), (0, 0))
        with self._noting:
            counts = {name: self._counts[name] for name in ("hits", "misses", "evicted", "damaged", "unwritten")}
            return CacheStats(entries, size, self.max_bytes, **counts, degraded=self._degraded)

    def close(self) -> None:
        """Write down what was used when, and release the index. Later reads miss, later writes are dropped."""
        if self._used or self._broken:
            self._write(lambda: self._change(lambda change: None), 0)
        self._keeper.close()

    def __enter__(self) -> DiskCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, action: Callable[[], object], size: int) -> None:
        """Do it; on a full disk once more with room made for `size` bytes."""
        try:
            try:
                action()
            except TROUBLE as error:
                if not is_full(error):
                    raise
                self._make_room(size)
                action()
            self._degraded = None
        except TROUBLE as error:
            self._count("unwritten")
            self._degraded = explained(error, self.folder)

    def _change(self, action: Callable[[Change], Answer]) -> Answer:
        """An action in the index, after what reading noted there."""
        with self._noting:
            used, broken = self._used, self._broken
            self._used, self._broken = {}, {}

        def all_of_it(change: Change) -> Answer:
            change.forget(broken)
            change.use(used)
            return action(change)

        try:
            return self._keeper.change(all_of_it)
        except TROUBLE:
            with self._noting:
                self._used, self._broken = {**used, **self._used}, broken | self._broken
            raise

    def _make_room(self, size: int) -> None:
        """Let go what was unused longest, until twice the size is free: it will be wanted later than the new tile."""
        with self._noting:
            gone = set(self._broken)
        none: list[Row] = []
        freed, wanted = 0, 2 * size + _ROOM_BYTES
        for row in self._keeper.read(lambda index: index.longest_unused(_DROPS + len(gone)), none):
            if freed < wanted and row not in gone:
                freed += row.size
                self._drop(row, "evicted")

    def _drop(self, row: Row, why: str) -> None:
        """Forget a tile: the file now, the entry with the next writing."""
        if row.digest is not None:
            self._files.remove(row.digest)
        with self._noting:
            self._counts[why] += row not in self._broken
            self._broken[row] = None

    def _sweep(self) -> None:
        """After every so many tiles, search the next folder for files that no entry names."""
        with self._noting:
            self._counts["put"] += 1
            if self._counts["put"] % _SWEEP_EVERY:
                return
            self._shard = shard = (self._shard + 1) % SHARDS
        named = self._keeper.read(lambda index: index.digests(shard), None)
        if named is not None:
            sweep(self._files, shard, named, self._clock())

    def _count(self, name: str, times: int = 1) -> None:
        with self._noting:
            self._counts[name] += times


def _short(mark: str | None) -> str | None:
    return mark if mark is not None and len(mark) <= _MARK_LENGTH else None
