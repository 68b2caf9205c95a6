# SPDX-License-Identifier: Apache-2.0
"""What a map lacks: how much of its rectangle is covered, and a picture with the holes in red."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry import mercator
from geodistill_core.maps.area_file import ABSENT
from geodistill_core.maps.cut import cut
from geodistill_core.maps.decode import decode_tile
from geodistill_core.maps.remote import RemoteSource
from geodistill_core.maps.source import MapSource
from geodistill_core.maps.target import PlaneTarget
from geodistill_core.types import Array

SIDE = 1024
_RED, _ORANGE, _OUTSIDE = (214, 40, 40), (244, 162, 97), (235, 235, 235)
_LEGEND = ("red: failed; orange: not at the source; grey: not asked for", "red: no imagery")
_LINE, STRIP = 18, 42


@dataclass(frozen=True, slots=True)
class Holes:
    """`covered`: share of the map's rectangle with imagery. `picture` [H, W, 3] uint8: red is missing.

    Of tiles, at the finest zoom level: how many there are, and how many were asked for in vain, by reason; then
    only those are holes (orange where the source has no imagery), the rest of the rectangle was not wanted.
    """

    covered: float
    picture: Array
    tiles: int | None = None
    missing: Mapping[str, int] | None = None


def find_holes(source: MapSource) -> Holes:
    """Look through the whole map at a coarse resolution.

    Raises:
        MapError: it cannot be read.
        ConfigError: it is a service, which would have to be fetched whole.
    """
    info = source.info()
    if isinstance(source, RemoteSource):
        raise ConfigError(f"{info.location} is a service; run `map fetch` for an area, and look for holes in its file")
    held = _by_tile(Path(info.location), info.zooms[-1]) if info.kind == "mbtiles" else _by_sampling(source)
    lines = [info.attribution or "no attribution stated", _LEGEND[held.missing is None]]
    return Holes(held.covered, _with_text(held.picture, lines), held.tiles, held.missing)


def _by_sampling(source: MapSource) -> Holes:
    bounds = source.bounds()
    middle = mercator.metres_per_pixel(bounds.center.latitude, 0, 1)
    width_m, height_m = bounds.width / 360.0 * middle, (bounds.north - bounds.south) * 111_200.0
    finest = source.info().metres_per_pixel
    side = int(min(SIDE, max(16, max(width_m, height_m) / finest)))
    target = PlaneTarget(bounds.center, side, max(width_m, height_m) / side)
    rgb, valid = cut(source, target)
    rows = round(height_m / target.metres_per_pixel / 2), round(width_m / target.metres_per_pixel / 2)
    inside = np.s_[
        max(side // 2 - rows[0], 0) : side // 2 + max(rows[0], 1),
        max(side // 2 - rows[1], 0) : side // 2 + max(rows[1], 1),
    ]
    rgb, valid = rgb[inside], valid[inside]
    return Holes(float(valid.mean()), np.where(valid[..., None], rgb, _RED).astype(np.uint8))


def _by_tile(path: Path, zoom: int) -> Holes:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return _of_tiles(database, zoom)
    except sqlite3.Error as error:
        raise MapError(f"{path} cannot be read: {error}; copy the file again") from error


def _of_tiles(database: sqlite3.Connection, zoom: int) -> Holes:
    held = set(database.execute("SELECT tile_column, tile_row FROM tiles WHERE zoom_level = ?", (zoom,)))
    missing = _missing(database, zoom)
    columns = _unwrapped({column for column, _ in (*held, *missing)}, 1 << zoom)
    top = max(row for _, row in (*held, *missing))
    height, width = top - min(row for _, row in (*held, *missing)) + 1, max(columns.values()) + 1
    canvas = _Canvas(height, width, _OUTSIDE if missing else _RED)
    covered = 0.0
    # Red comes last: what could be had is to be seen where other things lie in the same pixel.
    for (column, row), reason in missing.items():
        if reason == ABSENT:
            canvas.mark(top - row, columns[column], _ORANGE)
    for (column, row), rgb, valid in _tiles(database, zoom):
        covered += valid.mean()
        canvas.put(top - row, columns[column], rgb, valid)
    for (column, row), reason in missing.items():
        if reason != ABSENT:
            canvas.mark(top - row, columns[column], _RED)
    reasons = dict(Counter(missing.values())) if missing else None
    return Holes(float(covered) / (height * width), canvas.picture(), len(held), reasons)


class _Canvas:
    """A picture of `height` x `width` tiles, of at most `SIDE` pixels: a block of them for a tile, or a pixel for a
    square of tiles, in which holes are kept visible: it is their colour where there is one among them."""

    def __init__(self, height: int, width: int, color: tuple[int, int, int]) -> None:
        self._tiles = -(-max(height, width) // SIDE)
        self._pixels = max(1, SIDE // max(height, width))
        shape = tuple(-(-side // self._tiles) * self._pixels for side in (height, width))
        self._sum, self._count = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.int32)
        self._marked, self._color = np.zeros((*shape, 3), np.uint8), color
        # How many tiles there are to a pixel, fewer at the south and east edges.
        rows, columns = (np.minimum(self._tiles, side - np.arange(0, side, self._tiles)) for side in (height, width))
        self._whole = np.repeat(np.repeat(np.outer(rows, columns), self._pixels, 0), self._pixels, 1)

    def put(self, row: int, column: int, rgb: Array, valid: Array) -> None:
        """A tile, red where it is not valid."""
        size = (self._pixels, self._pixels)
        small, shown = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (rgb, valid))
        at = self._at(row, column)
        self._sum[at] += small
        self._count[at] += 1
        self._marked[at][shown <= 0.5] = _RED

    def mark(self, row: int, column: int, color: tuple[int, int, int]) -> None:
        """No tile, and why."""
        at = self._at(row, column)
        self._count[at] += 1
        self._marked[at] = color

    def picture(self) -> Array:
        """[H, W, 3] uint8."""
        mean = self._sum / np.maximum(self._count, 1)[..., None]
        if self._color == _RED:
            self._marked[self._count < self._whole] = _RED
        mean[self._count == 0] = self._color
        return np.where(self._marked.any(axis=-1, keepdims=True), self._marked, mean).astype(np.uint8)

    def _at(self, row: int, column: int) -> tuple[slice, slice]:
        top, left = (at // self._tiles * self._pixels for at in (row, column))
        return np.s_[top : top + self._pixels, left : left + self._pixels]


def _missing(database: sqlite3.Connection, zoom: int) -> dict[tuple[int, int], str]:
    """Tiles asked for in vain, where the file was made by `map fetch`."""
    exists = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'missing_tiles'").fetchone()
    query = "SELECT tile_column, tile_row, reason FROM missing_tiles WHERE zoom_level = ?"
    found = database.execute(query, (zoom,)) if exists else ()
    return {(column, row): str(reason) for column, row, reason in found}


def _unwrapped(columns: set[int], world: int) -> dict[int, int]:
    """Columns counted from the west of what they cover, which is not the long way round the earth."""
    ordered = sorted(columns)
    gaps = [(ordered[i] - ordered[i - 1]) % world or world for i in range(len(ordered))]
    west = ordered[int(np.argmax(gaps))]
    return {column: (column - west) % world for column in ordered}


def _tiles(database: sqlite3.Connection, zoom: int) -> Iterator[tuple[tuple[int, int], Array, Array]]:
    """(column, row from the south), rgb, and where it is valid: 0 or 1; tiles that cannot be read are not."""
    query = "SELECT tile_column, tile_row, tile_data FROM tiles WHERE zoom_level = ?"
    for column, row, data in database.execute(query, (zoom,)):
        try:
            rgb, valid = decode_tile(data, f"tile {zoom}/{column}/{(1 << zoom) - 1 - row}", (256, 512))
        except MapError:
            rgb, valid = np.zeros((256, 256, 3), np.uint8), np.zeros((256, 256), np.bool_)
        yield (column, row), rgb, np.ones(rgb.shape[:2], np.float32) if valid is None else valid.astype(np.float32)


def _with_text(picture: Array, lines: list[str]) -> Array:
    """At least 384 pixels wide, the lines on a strip below."""
    factor = -(-384 // picture.shape[1])
    large = np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
    canvas = Image.new("RGB", (large.shape[1], large.shape[0] + STRIP), (20, 20, 20))
    canvas.paste(Image.fromarray(large), (0, 0))
    text, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for number, line in enumerate(lines):
        text.text((6, large.shape[0] + 4 + number * _LINE), line, (240, 240, 240), font)
    return np.asarray(canvas)
