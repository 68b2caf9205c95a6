# SPDX-License-Identifier: Apache-2.0
"""VIGOR's labels: the four tiles that show a panorama's place, and where on each of them the camera stood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from geodistill_core.datasets.files import read_lines
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.maps.folder import TILE_NAME
from geodistill_core.types import GeoPoint

TILE_PX = 640
METRES_PER_PIXEL = {"NewYork": 0.113248, "Seattle": 0.100817, "SanFrancisco": 0.118141, "Chicago": 0.111262}
"""Ground metres per pixel of the 640-pixel tiles; published code takes one number for a whole city."""

_GROUPS = 4
_FIELDS = 1 + 3 * _GROUPS
_PANORAMA_NAME = re.compile(r"[^,\s/]+,(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?),\.(?:jpe?g|png)", re.IGNORECASE)
_REMEDY = "use the corrected VIGOR label files as they are published"


@dataclass(frozen=True, slots=True)
class TileOffset:
    """From a tile's centre to the camera in pixels of the 640-pixel tile, with the labels' own signs.

    `row` grows south, but `column` grows WEST. The centre is the edge coordinate (320, 320).
    """

    row: float
    column: float

    @property
    def camera_px(self) -> tuple[float, float]:
        """The camera on the 640-pixel tile, (column, row) in edge coordinates (pixel centre = index + 0.5)."""
        return TILE_PX / 2 - self.column, TILE_PX / 2 + self.row

    def quarter_tiles(self) -> tuple[float, float]:
        """(east, south) in quarter tiles, the unit in which GeoDistill learns."""
        return -4.0 * self.column / TILE_PX, 4.0 * self.row / TILE_PX

    def rounded_quarter_tiles(self, resized_px: int = 512) -> tuple[float, float]:
        """(east, south) in quarter tiles after rounding to whole pixels of the resized tile (G2SWeakly, GGCVT).

        Halves round to even, as the published code's do.
        """
        scale = resized_px / TILE_PX
        return -round(self.column * scale) * 4.0 / resized_px, round(self.row * scale) * 4.0 / resized_px


@dataclass(frozen=True, slots=True)
class VigorSample:
    """A panorama and four tiles that overlap its place: the positive first, then three semi-positives.

    The camera lies in the central quarter of the positive and nearer to the rim, or beyond it, on semi-positives.
    `folder` holds the city's `panorama` and `satellite` folders.
    """

    folder: Path
    panorama_name: str
    tile_names: tuple[str, ...]
    offsets: tuple[TileOffset, ...]

    @property
    def city(self) -> str:
        """One of `METRES_PER_PIXEL`."""
        return self.folder.name

    @property
    def metres_per_pixel(self) -> float:
        """Ground metres per pixel of the 640-pixel tile."""
        return METRES_PER_PIXEL[self.city]

    @property
    def panorama(self) -> Path:
        """The panorama: centre column = north, azimuth grows clockwise to the right."""
        return self.folder / "panorama" / self.panorama_name

    @property
    def panorama_point(self) -> GeoPoint:
        """Where the panorama's name says it was taken (rounded to 1e-6 degrees, not corrected)."""
        return _named_point(_PANORAMA_NAME, self.panorama_name)

    def tile(self, group: int = 0) -> Path:
        """The north-up 640-pixel tile of a group."""
        return self.folder / "satellite" / self.tile_names[group]

    def tile_center(self, group: int = 0) -> GeoPoint:
        """The centre of a group's tile."""
        return _named_point(TILE_NAME, self.tile_names[group])

    def camera_east_north_m(self, group: int = 0) -> tuple[float, float]:
        """The labelled camera position from the tile's centre, metres at the city's resolution."""
        offset = self.offsets[group]
        return -offset.column * self.metres_per_pixel, -offset.row * self.metres_per_pixel


def read_labels(path: Path, folder: Path) -> list[VigorSample]:
    """The samples of one label file; `folder` is the city's folder of images and is named after the city.

    Raises:
        DatasetError: the city is unknown, the file is missing, or a line is malformed (the message names it).
    """
    if folder.name not in METRES_PER_PIXEL:
        raise DatasetError(f"{folder} is not named after a VIGOR city; the cities are {', '.join(METRES_PER_PIXEL)}")
    return [parse_label(line, folder, f"{path}, line {number}") for number, line in read_lines(path, _REMEDY)]


def parse_label(line: str, folder: Path, where: str) -> VigorSample:
    """The sample of one line; `where` names the line in messages.

    Raises:
        DatasetError: the line is malformed, or its positive tile does not show the camera.
    """
    fields = line.split()
    if len(fields) != _FIELDS:
        raise DatasetError(f"{where} has {len(fields)} fields, not {_FIELDS}; {_REMEDY}")
    tiles, offsets = [], []
    for group in range(_GROUPS):
        name, row, column = fields[1 + 3 * group : 4 + 3 * group]
        tiles.append(_checked_name(TILE_NAME, name, "satellite_LATITUDE_LONGITUDE.png", where))
        # The camera stands on its positive tile; a semi-positive may end short of it, but not by a whole tile.
        offsets.append(_offset(row, column, TILE_PX / 2 if group == 0 else float(TILE_PX), where))
    panorama = _checked_name(_PANORAMA_NAME, fields[0], "NAME,LATITUDE,LONGITUDE,.jpg", where)
    return VigorSample(folder, panorama, tuple(tiles), tuple(offsets))


def _offset(row: str, column: str, limit_px: float, where: str) -> TileOffset:
    try:
        offset = TileOffset(float(row), float(column))
    except ValueError as error:
        raise DatasetError(f"{where}: offset ({row}, {column}) is not a pair of numbers; {_REMEDY}") from error
    if not (abs(offset.row) <= limit_px and abs(offset.column) <= limit_px):
        raise DatasetError(f"{where}: offset ({row}, {column}) is beyond +-{limit_px:.0f} pixels; {_REMEDY}")
    return offset


def _checked_name(pattern: re.Pattern[str], name: str, form: str, where: str) -> str:
    if not pattern.fullmatch(name):
        raise DatasetError(f"{where}: {name!r} is not named {form}; {_REMEDY}")
    try:
        _named_point(pattern, name)
    except ConfigError as error:
        raise DatasetError(f"{where}: {name!r} is no place on earth ({error}); {_REMEDY}") from error
    return name


def _named_point(pattern: re.Pattern[str], name: str) -> GeoPoint:
    match = pattern.fullmatch(name)
    if match is None:
        raise DatasetError(f"{name!r} says no latitude and longitude; {_REMEDY}")
    return GeoPoint(float(match.group(1)), float(match.group(2)))
