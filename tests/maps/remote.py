# SPDX-License-Identifier: Apache-2.0
"""Remote sources on the loopback server, and archives to serve."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import numpy as np
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from geodistill_core.geometry import mercator
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.remote import RemoteSource, open_source
from geodistill_core.maps.spec import SourceSpec, parse_source
from geodistill_core.types import GeoPoint

REAL = Path(__file__).parents[2] / "../shared/data/geotiff"


def a_spec(kind: str, url: str, **fields: object) -> SourceSpec:
    place: dict[str, object] = {"name": "loopback", "kind": kind, "url": url}
    if kind not in ("cog", "pmtiles"):
        place["zooms"] = [0, 22]
    terms = {"attribution": "tests", "terms_url": "own", "terms_accepted": True, "cache_allowed": True}
    return parse_source(place | terms | {"allow_private": True} | fields, "the test's source")


def opened(kind: str, url: str, folder: Path, **fields: object) -> RemoteSource:
    """A source with a cache of its own in `folder`."""
    return open_source(a_spec(kind, url, **fields), cache=DiskCache(folder / "cache", 64 << 20))


def to_pmtiles(mbtiles: Path, path: Path, **header: object) -> Path:
    """The tiles of an MBTiles file in a PMTiles archive, made by the format's own library."""
    with sqlite3.connect(mbtiles) as database:
        rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
        bounds = dict(database.execute("SELECT name, value FROM metadata"))["bounds"]
    database.close()
    tiles = {zxy_to_tileid(z, x, (1 << z) - 1 - y): data for z, x, y, data in rows}
    west, south, east, north = (round(float(part) * 1e7) for part in bounds.split(","))
    made = {"min_lon_e7": west, "min_lat_e7": south, "max_lon_e7": east, "max_lat_e7": north}
    with path.open("wb") as file:
        writer = Writer(file)
        for number in sorted(tiles):
            writer.write_tile(number, tiles[number])
        kinds = {"tile_type": TileType.PNG, "tile_compression": Compression.NONE}
        writer.finalize(made | kinds | header, {"attribution": "<a href='x'>Survey &amp; Co</a>"})
    return path


def mark_tile(marks: list[tuple[float, float]], zoom: int, column: int, row: int, side: int = 256) -> bytes:
    """A PNG of dark ground with a soft bright mark wherever one lies, by the textbook's Web Mercator formulas."""
    world = side << zoom
    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    image = np.full((side, side), 20.0)
    for latitude, longitude in marks:
        x = (longitude + 180.0) / 360.0 * world - column * side
        sine = np.sin(np.radians(latitude))
        y = (0.5 - np.log((1 + sine) / (1 - sine)) / (4 * np.pi)) * world - row * side
        x = (x + world / 2) % world - world / 2
        if -40 < x < side + 40 and -40 < y < side + 40:
            image += 220 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    grey = np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return bytes(cv2.imencode(".png", grey)[1])


def tile_name(point: GeoPoint, zoom: int) -> str:
    """zoom/column/row of the tile that holds a point."""
    return "{}/{}/{}".format(zoom, *mercator.tile_of(point.latitude, point.longitude, zoom))
