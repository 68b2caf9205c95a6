# SPDX-License-Identifier: Apache-2.0
"""Imagery to an MBTiles file of one zoom level."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.area import tile_ranges
from geodistill_core.maps.cut import TileGiver, cut
from geodistill_core.maps.encode import IMAGE_FORMATS, encode_tile
from geodistill_core.maps.target import SlippyTarget


def _whole_pixels(bounds: GeoBounds, zoom: int) -> str:
    """Metadata bounds, grown to whole pixels: GDAL places its first pixel at the bounds' corner."""
    left, top = mercator.to_pixel(bounds.north, bounds.west, zoom)
    right, bottom = mercator.to_pixel(bounds.south, bounds.west + bounds.width, zoom)
    north, west = mercator.to_geodetic(math.floor(left), math.floor(top), zoom)
    south, east = mercator.to_geodetic(math.ceil(right), math.ceil(bottom), zoom)
    return f"{west!r},{south!r},{east!r},{north!r}"


def _rows(source: TileGiver, bounds: GeoBounds, zoom: int, image_format: str) -> Iterator[tuple[int, int, int, bytes]]:
    columns, rows = tile_ranges(bounds, zoom)
    for column in columns:
        for row in rows:
            wrapped = column % (1 << zoom)
            rgb, valid = cut(source, SlippyTarget(wrapped, row, zoom))
            if valid.any():
                yield zoom, wrapped, (1 << zoom) - 1 - row, encode_tile(rgb, valid, image_format)


def write_mbtiles(
    path: str | Path,
    source: TileGiver,
    bounds: GeoBounds,
    zoom: int,
    *,
    attribution: str = "",
    image_format: Literal["png", "jpg", "webp"] = "png",
) -> int:
    """Write the tiles that touch `bounds`, replacing `path`; returns how many hold imagery.

    A tile that the source covers in part is stored as PNG with transparency whatever the format. The
    file appears when complete. MapError when the source covers none of the bounds.
    """
    if image_format not in IMAGE_FORMATS:
        raise ConfigError(f"image format {image_format!r} is not one of {', '.join(IMAGE_FORMATS)}")
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    metadata = {
        "name": path.stem,
        "type": "baselayer",
        "version": "1",
        "format": image_format,
        "bounds": _whole_pixels(bounds, zoom),
        "minzoom": str(zoom),
        "maxzoom": str(zoom),
        "attribution": attribution,
    }
    try:
        database = sqlite3.connect(partial)
        try:
            database.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
            database.execute(
                "CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB)"
            )
            database.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")
            database.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
            tiles = _rows(source, bounds, zoom, image_format)
            written = database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", tiles).rowcount
            database.commit()
        finally:
            database.close()
        if written < 1:
            raise MapError(f"the source has no imagery within {bounds}; nothing to write to {path}")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return written
