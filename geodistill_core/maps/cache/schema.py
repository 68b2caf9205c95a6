# SPDX-License-Identifier: Apache-2.0
"""The index as a file: its tables, and connections to it."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from geodistill_core.maps.cache.trouble import TROUBLE

# "GDtc", and the tables' version: a file with other numbers is not ours.
_MARK = (0x47447463, 1)
# The log is folded into the file after so many pages, so that it stays small on a small disk.
_LOG_PAGES = 256
# An entry's share of the index and of its folder, so that entries without content are bounded too.
ENTRY_BYTES = 512
_CREATE = (
    "CREATE TABLE entry (source TEXT NOT NULL, key TEXT NOT NULL, digest BLOB, size INTEGER NOT NULL, etag TEXT,"
    " last_modified TEXT, stored_s REAL NOT NULL, max_age_s REAL NOT NULL, used INTEGER NOT NULL,"
    " PRIMARY KEY (source, key))",
    "CREATE INDEX entry_by_use ON entry (used)",
    "CREATE INDEX entry_by_digest ON entry (digest) WHERE digest NOT NULL",
    "CREATE TABLE total (entries INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO total VALUES (0, 0)",
    "CREATE TRIGGER entry_comes AFTER INSERT ON entry BEGIN"
    f" UPDATE total SET entries = entries + 1, bytes = bytes + NEW.size + {ENTRY_BYTES}; END",
    "CREATE TRIGGER entry_goes AFTER DELETE ON entry BEGIN"
    f" UPDATE total SET entries = entries - 1, bytes = bytes - OLD.size - {ENTRY_BYTES}; END",
    f"PRAGMA application_id = {_MARK[0]}",
    f"PRAGMA user_version = {_MARK[1]}",
)


def connect(path: Path, waits_s: float, options: str = "") -> sqlite3.Connection:
    """A connection that waits at most so long for other processes; URI options as SQLite knows them."""
    uri = path.resolve().as_uri() + options
    return sqlite3.connect(uri, uri=True, timeout=waits_s, isolation_level=None, check_same_thread=False)


def connect_to_write(path: Path, waits_s: float) -> sqlite3.Connection:
    """A connection to the index, which is created where there is none.

    Raises:
        sqlite3.DatabaseError: the file is damaged or something else's; an OperationalError, that it cannot be written.
    """
    writer = connect(path, waits_s)
    try:
        # Readers never wait for a writer; a power cut may lose the last entries, never the file.
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = NORMAL")
        writer.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        if _mark(writer) != _MARK:
            writer.execute("BEGIN IMMEDIATE")
            if not writer.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _CREATE:
                    writer.execute(statement)
            writer.execute("COMMIT")
            if _mark(writer) != _MARK:
                raise sqlite3.DatabaseError("not an index of tiles")
    except BaseException:
        writer.close()
        raise
    return writer


def connect_to_read(path: Path, waits_s: float, shared: bool) -> sqlite3.Connection:
    """A connection that cannot write; `shared`: the folder can be written, so that the log can be followed."""
    if shared:
        reader = connect(path, waits_s)
        reader.execute("PRAGMA query_only = 1")
        return reader
    # Without a log beside it, SQLite reads from a folder that it cannot write only what nobody writes.
    error: Exception | None = None
    for options in ("?mode=ro", "?immutable=1"):
        reader = connect(path, waits_s, options)
        try:
            if _mark(reader) == _MARK:
                reader.execute("SELECT bytes FROM total").fetchone()
                return reader
            raise sqlite3.DatabaseError("not an index of tiles")
        except TROUBLE as refused:
            reader.close()
            error = refused
    raise error or sqlite3.OperationalError("no index")


def newest_index(folder: Path) -> Path:
    """The index to use. A new one gets a new name, so that it never meets the log of the one that it replaces."""
    numbers = [int(path.stem[6:]) for path in folder.glob("index-*.sqlite") if path.stem[6:].isdecimal()]
    return folder / f"index-{max(numbers, default=1)}.sqlite"


def next_index(path: Path) -> Path:
    """The name of the index that replaces this one."""
    return path.with_name(f"index-{int(path.stem[6:]) + 1}.sqlite")


def move_aside(path: Path) -> None:
    """Put a replaced index out of the way. It is renamed, not deleted: it may be somebody's."""
    with suppress(OSError):
        path.replace(path.with_name("index.damaged"))
    for suffix in ("-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink()


def _mark(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()
    version = connection.execute("PRAGMA user_version").fetchone()
    return int(application[0]), int(version[0])
