# SPDX-License-Identifier: Apache-2.0
"""Which tiles are kept: one connection that only reads, and one that writes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from geodistill_core.maps.cache.schema import ENTRY_BYTES, connect_to_read, connect_to_write

_WRITER_WAITS_S, _READER_WAITS_S = 10.0, 0.05
# Counted, not timed: a clock that jumps must not make old tiles out of new ones.
_NEXT_USE = "(SELECT coalesce(max(used), 0) + 1 FROM entry)"

Name = tuple[str, str]
"""Source and key."""


class Row(NamedTuple):
    """An entry but for its use; `digest` is None where the server said that there is nothing."""

    source: str
    key: str
    digest: bytes | None
    size: int
    etag: str | None
    last_modified: str | None
    stored_s: float
    max_age_s: float


_COLUMNS = ", ".join(Row._fields)


def _row(values: tuple[Any, ...]) -> Row:
    """Values of the types that were written: SQLite has no checksums, and damage changes types too."""
    row = Row(*values)
    numbers = (row.size, row.stored_s, row.max_age_s)
    right = row.digest is None or isinstance(row.digest, bytes)
    right &= all(mark is None or isinstance(mark, str) for mark in (row.etag, row.last_modified))
    if not right or not all(isinstance(number, (int, float)) for number in numbers):
        raise sqlite3.DatabaseError("an entry is malformed")
    return row


def _totals(found: list[tuple[Any, ...]]) -> tuple[int, int]:
    entries, size = found[0] if found else (None, None)
    if not isinstance(entries, int) or not isinstance(size, int):
        raise sqlite3.DatabaseError("the totals are malformed")
    return entries, size


class Index:
    """The index at `path`; read only where its folder is.

    Every method may raise one of TROUBLE.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.writable = path, os.access(path.parent, os.W_OK)
        self._reading = threading.Lock()
        self._writer = connect_to_write(path, _WRITER_WAITS_S) if self.writable else None
        try:
            self._reader = connect_to_read(path, _READER_WAITS_S, shared=self.writable)
            self._inode = path.stat().st_ino
        except BaseException:
            if self._writer:
                self._writer.close()
            raise
        self._counted = False

    def close(self) -> None:
        """Release the files."""
        with self._reading:
            self._reader.close()
        if self._writer:
            self._writer.close()

    def in_place(self) -> bool:
        """Whether the file at `path` is still the one that was opened."""
        with suppress(OSError):
            return self.path.stat().st_ino == self._inode
        return False

    def find(self, source: str, key: str) -> Row | None:
        """The entry of a source's key."""
        found = self._read(f"SELECT {_COLUMNS} FROM entry WHERE source = ? AND key = ?", source, key)
        return _row(found[0]) if found else None

    def totals(self) -> tuple[int, int]:
        """Entries and bytes, charges included."""
        return _totals(self._read("SELECT entries, bytes FROM total"))

    def longest_unused(self, count: int) -> list[Row]:
        """The entries to let go first."""
        return [_row(values) for values in self._read(f"SELECT {_COLUMNS} FROM entry ORDER BY used LIMIT ?", count)]

    def digests(self, first_byte: int) -> set[bytes]:
        """The digests that begin with a byte."""
        low = bytes([first_byte])
        found = self._read("SELECT digest FROM entry WHERE digest BETWEEN ? AND ?", low, low + b"\xff" * 32)
        return {values[0] for values in found if isinstance(values[0], bytes)}

    @contextmanager
    def change(self) -> Iterator[Change]:
        """A transaction, alone among all processes: all of it is kept, or nothing when an error passes through."""
        if self._writer is None:
            raise sqlite3.OperationalError("the folder is read-only")
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            change = Change(self._writer)
            if not self._counted:
                change.count_anew()
            yield change
            self._writer.execute("COMMIT")
            self._counted = True
        except BaseException:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise

    def _read(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._reading:
            return self._reader.execute(statement, arguments).fetchall()


class Change:
    """What a transaction does."""

    def __init__(self, writer: sqlite3.Connection) -> None:
        self._writer = writer

    def count_anew(self) -> None:
        """Make the totals right: nothing else would ever notice that they are not."""
        self._writer.execute(
            "UPDATE total SET (entries, bytes) = (SELECT count(*), coalesce(sum(size), 0) + ? * count(*) FROM entry)",
            (ENTRY_BYTES,),
        )

    def add(self, row: Row) -> bytes | None:
        """Put an entry in place of the one with its name, as used last; returns the digest of the one before."""
        before = self._writer.execute(
            "DELETE FROM entry WHERE source = ? AND key = ? RETURNING digest", (row.source, row.key)
        ).fetchall()
        places = ", ".join("?" for _ in row)
        self._writer.execute(f"INSERT INTO entry ({_COLUMNS}, used) VALUES ({places}, {_NEXT_USE})", row)
        return before[0][0] if before else None

    def use(self, names: Iterable[Name]) -> None:
        """Count entries as used, the last one last."""
        self._writer.executemany(f"UPDATE entry SET used = {_NEXT_USE} WHERE source = ? AND key = ?", names)

    def confirm(self, name: Name, stored_s: float, max_age_s: float) -> None:
        """Make an entry's age count from `stored_s`."""
        self._writer.execute(
            "UPDATE entry SET stored_s = ?, max_age_s = ? WHERE source = ? AND key = ?", (stored_s, max_age_s, *name)
        )

    def forget(self, rows: Iterable[Row]) -> None:
        """Delete entries, but for those that were replaced since they were read."""
        names = [(row.source, row.key, row.digest, row.stored_s) for row in rows]
        self._writer.executemany(
            "DELETE FROM entry WHERE source = ? AND key = ? AND digest IS ? AND stored_s = ?", names
        )

    def shrink(self, max_bytes: int, at_most: int) -> list[bytes | None]:
        """Delete the entries unused longest until the rest fits, or `at_most` are gone; returns their digests."""
        gone: list[bytes | None] = []
        while len(gone) < at_most and self._bytes() > max_bytes:
            first = "SELECT rowid FROM entry ORDER BY used LIMIT 1"
            deleted = self._writer.execute(f"DELETE FROM entry WHERE rowid = ({first}) RETURNING digest").fetchall()
            if not deleted:
                raise sqlite3.DatabaseError("the totals are wrong")
            gone.append(deleted[0][0])
        return gone

    def _bytes(self) -> int:
        return _totals(self._writer.execute("SELECT entries, bytes FROM total").fetchall())[1]
