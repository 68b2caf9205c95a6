# SPDX-License-Identifier: Apache-2.0
"""An MBTiles file that grows tile by tile, survives being stopped, and appears when it is done."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry import mercator
from geodistill_core.maps.address import TileAddress

ABSENT = "absent"
"""The source has no imagery there."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS metadata (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB);
CREATE UNIQUE INDEX IF NOT EXISTS tile_index ON tiles (zoom_level, tile_column, tile_row);
CREATE TABLE IF NOT EXISTS missing_tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, reason TEXT,
    PRIMARY KEY (zoom_level, tile_column, tile_row));
"""
_SIGNATURES = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpg"), (b"RIFF", "webp"))
_COMMIT_EVERY = 64
_SOURCE = "geodistill_source"


class AreaFile:
    """Tiles on their way to `path`; until `finish` they lie in `path` + ".partial", from where a later run goes on.

    A finished file of the same source (`source_id`) is taken up again, and stays as it is until `finish`. For one
    thread, and one process at a time. Names asked for in vain are kept in the table `missing_tiles`.

    Raises:
        ConfigError: there is a file of another source, or one that this class has not written.
        MapError: another process is writing it, or the folder cannot be written.
    """

    def __init__(self, path: Path, source_id: str) -> None:
        self.path, self.partial = path, path.with_name(path.name + ".partial")
        self._unsaved = 0
        self._closed = False
        try:
            for held in (self.partial, path):
                if held.exists():
                    _require_source(held, source_id)
            if path.exists() and not self.partial.exists():
                copy = path.with_name(path.name + ".copy")
                shutil.copyfile(path, copy)
                os.replace(copy, self.partial)
            self._database = _opened(self.partial, source_id)
        except (OSError, sqlite3.Error) as error:
            busy = "another process is writing it" if "locked" in str(error) else str(error)
            raise MapError(f"{self.partial} cannot be written: {busy}; wait, or choose another --output") from error

    def known(self, zoom: int) -> set[tuple[int, int]]:
        """(column, row) of tiles that need no asking: here, or known to be absent at the source."""
        query = (
            "SELECT tile_column, tile_row FROM tiles WHERE zoom_level = ?1 UNION ALL "
            "SELECT tile_column, tile_row FROM missing_tiles WHERE zoom_level = ?1 AND reason = ?2"
        )
        last = (1 << zoom) - 1
        return {(column, last - row) for column, row in self._run(query, zoom, ABSENT)}

    def totals(self) -> tuple[int, int]:
        """How many tiles, of how many bytes together."""
        ((count, size),) = self._run("SELECT count(*), coalesce(sum(length(tile_data)), 0) FROM tiles")
        return count, size

    def put(self, address: TileAddress, content: bytes) -> None:
        """Keep a tile."""
        self._run("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)", *_tms(address), content)
        self._run("DELETE FROM missing_tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?", *_tms(address))
        self._save_sometimes()

    def miss(self, address: TileAddress, reason: str) -> None:
        """Remember that a tile was asked for in vain: `ABSENT` for good, any other reason until the next run."""
        self._run("INSERT OR REPLACE INTO missing_tiles VALUES (?, ?, ?, ?)", *_tms(address), reason)
        self._save_sometimes()

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the metadata of MBTiles 1.3 and move the file to `path`. MapError where it holds no tile."""
        zooms = [row[0] for row in self._run("SELECT DISTINCT zoom_level FROM tiles ORDER BY zoom_level")]
        if not zooms:
            raise MapError(f"the source has no imagery in this area; nothing to write to {self.path}")
        ((first,),) = self._run("SELECT substr(tile_data, 1, 4) FROM tiles WHERE zoom_level = ? LIMIT 1", zooms[-1])
        form = next((name for signature, name in _SIGNATURES if first.startswith(signature)), "png")
        facts = {
            "name": self.path.stem,
            "type": "baselayer",
            "version": "1",
            "format": form,
            "bounds": self._bounds(zooms[-1]),
            "minzoom": str(zooms[0]),
            "maxzoom": str(zooms[-1]),
            **metadata,
        }
        for fact in facts.items():
            self._run("INSERT OR REPLACE INTO metadata VALUES (?, ?)", *fact)
        self.close()
        os.replace(self.partial, self.path)

    def close(self) -> None:
        """Save what is there; a later object goes on from it."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._database.in_transaction:
                self._run("COMMIT")
        finally:
            self._database.close()

    def __enter__(self) -> AreaFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _save_sometimes(self) -> None:
        self._unsaved += 1
        if self._unsaved % _COMMIT_EVERY == 0:
            self._run("COMMIT")
            self._run("BEGIN IMMEDIATE")

    def _bounds(self, zoom: int) -> str:
        """Around the tiles of a zoom level, not the long way round the earth."""
        columns = [row[0] for row in self._run("SELECT DISTINCT tile_column FROM tiles WHERE zoom_level = ?1", zoom)]
        columns.sort()
        ((low, high),) = self._run("SELECT min(tile_row), max(tile_row) FROM tiles WHERE zoom_level = ?", zoom)
        gaps = [(later - sooner, later) for sooner, later in itertools.pairwise(columns)]
        gaps.append((columns[0] + (1 << zoom) - columns[-1], columns[0]))
        west_column = max(gaps)[1]
        east_column = columns[columns.index(west_column) - 1]
        last = (1 << zoom) - 1
        north_west = mercator.tile_bounds(west_column, last - high, zoom)
        south_east = mercator.tile_bounds(east_column, last - low, zoom)
        return f"{north_west.west!r},{south_east.south!r},{south_east.east!r},{north_west.north!r}"

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise MapError(
                f"{self.partial} cannot be written: {error}; make room, then run the same command again to go on"
            ) from error


def _opened(partial: Path, source_id: str) -> sqlite3.Connection:
    """Locked, with tables and the name of its source saved, and a transaction begun."""
    database = sqlite3.connect(partial, isolation_level=None, timeout=1.0)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        database.execute("INSERT OR REPLACE INTO metadata VALUES (?, ?)", (_SOURCE, source_id))
        database.execute("COMMIT")
        database.execute("BEGIN IMMEDIATE")
    except BaseException:
        database.close()
        raise
    return database


def _tms(address: TileAddress) -> tuple[int, int, int]:
    """As MBTiles count rows: from the south."""
    return address.zoom, address.column, (1 << address.zoom) - 1 - address.row


def _require_source(path: Path, source_id: str) -> None:
    if path.stat().st_size == 0:  # of a process that was killed at its first step
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            found = database.execute("SELECT value FROM metadata WHERE name = ?", (_SOURCE,)).fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
        found = None
    except sqlite3.DatabaseError:
        found = None
    if found is None or found[0] != source_id:
        raise ConfigError(f"{path} exists and is not a map fetched from this source; choose another --output")
