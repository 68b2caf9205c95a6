# SPDX-License-Identifier: Apache-2.0
"""MBTiles 1.3: Web Mercator tiles in an SQLite file, rows counted from the south."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.decode import plain_text, stated_sigma_m
from geodistill_core.maps.slippy_source import SlippySource


class MBTilesSource(SlippySource):
    """Raster MBTiles."""

    kind = "mbtiles"

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            self._database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise MapError(f"{path} cannot be opened: {error}") from error
        try:
            self._metadata = {str(key): str(value) for key, value in self._query("SELECT name, value FROM metadata")}
            zooms = self._find_zooms()
            ((a_tile,),) = self._query("SELECT tile_data FROM tiles WHERE zoom_level = ? LIMIT 1", zooms[-1])
            super().__init__(str(path), zooms, self._find_bounds(zooms[-1]), a_tile)
        except BaseException:
            self._database.close()
            raise
        self.attribution = plain_text(self._metadata.get("attribution", ""))
        self.map_sigma_m = stated_sigma_m(self._metadata.get("map_sigma_m", ""))

    def _query(self, statement: str, *arguments: int) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._database.execute(statement, arguments).fetchall()
        except sqlite3.Error as error:
            raise MapError(
                f"{self._path} cannot be read as MBTiles: {error}. Copy the file again, or convert it"
            ) from error

    def _find_zooms(self) -> tuple[int, ...]:
        form = self._metadata.get("format", "")
        if form == "pbf":
            raise MapError(f"{self._path} holds vector tiles (format pbf); imagery is needed: png, jpg or webp")
        exists = "SELECT 1 FROM tiles WHERE zoom_level = ? LIMIT 1"
        zooms = tuple(zoom for zoom in range(mercator.MAX_ZOOM + 1) if self._query(exists, zoom))
        if not zooms:
            raise MapError(f"{self._path} holds no tiles at zoom 0..{mercator.MAX_ZOOM}")
        return zooms

    def _find_bounds(self, zoom: int) -> GeoBounds:
        try:
            west, south, east, north = (float(part) for part in self._metadata["bounds"].split(","))
            return GeoBounds(west, south, east, north)
        except (KeyError, ValueError, ConfigError):
            # The metadata may omit bounds: the tiles themselves say where they are.
            ((left, right, bottom, top),) = self._query(
                "SELECT min(tile_column), max(tile_column), min(tile_row), max(tile_row) FROM tiles "
                "WHERE zoom_level = ?",
                zoom,
            )
            last = (1 << zoom) - 1
            north_west, south_east = (
                mercator.tile_bounds(left, last - top, zoom),
                mercator.tile_bounds(right, last - bottom, zoom),
            )
            return GeoBounds(north_west.west, south_east.south, south_east.east, north_west.north)

    def content(self, column: int, row: int, zoom: int) -> bytes | None:
        """See `SlippySource.content`."""
        found = self._query(
            "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?",
            zoom,
            column,
            (1 << zoom) - 1 - row,
        )
        # Damage may have put anything there.
        return (found[0][0] or b"") if found else None

    def close(self) -> None:
        """Close the file."""
        super().close()
        with self._lock:
            self._database.close()
