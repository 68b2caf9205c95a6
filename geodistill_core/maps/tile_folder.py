# SPDX-License-Identifier: Apache-2.0
"""A folder of Web Mercator tiles, ZOOM/COLUMN/ROW.png, as tile servers and gdal2tiles write it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.slippy_source import SlippySource

DESCRIPTION_FILE = "tiles.yaml"
_TMS_FILE = "tilemapresource.xml"
_SUFFIXES = (".jpg", ".png", ".webp", ".jpeg")
_NUMBER = re.compile(r"0|[1-9]\d{0,9}")
_ROW = re.compile(r"(0|[1-9]\d{0,9})\.(?:jpe?g|png|webp)")


class TileFolderDescription(BaseModel):
    """`tiles.yaml` in the folder. Rows count from the north (`xyz`) or from the south (`tms`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: Literal["xyz", "tms"] = "xyz"
    attribution: str = ""
    map_sigma_m: float = Field(default=0.0, ge=0.0, le=50.0)


def zoom_folders(folder: Path) -> dict[int, Path]:
    """Subfolders named after a zoom level, ascending."""
    found = {int(path.name): path for path in folder.iterdir() if _NUMBER.fullmatch(path.name) and path.is_dir()}
    return {zoom: found[zoom] for zoom in sorted(found) if zoom <= mercator.MAX_ZOOM}


class TileFolder(SlippySource):
    """Tiles as files. A `tilemapresource.xml` says that rows count from the south, unless `tiles.yaml` says otherwise.

    Raises:
        MapError: there is no tile, or the description is wrong.
    """

    kind = "tile folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        description = _describe(folder)
        self._from_south = description.scheme == "tms"
        levels = {zoom: path for zoom, path in zoom_folders(folder).items() if next(_tiles(path), None) is not None}
        if not levels:
            raise MapError(f"{folder} holds no ZOOM/COLUMN/ROW.png (or jpg, webp); give a folder of such tiles")
        finest = max(levels)
        names = list(_tiles(levels[finest]))
        a_tile = levels[finest] / names[0][0] / names[0][1]
        super().__init__(str(folder), tuple(levels), self._around(finest, names), a_tile.read_bytes())
        self.attribution, self.map_sigma_m = description.attribution, description.map_sigma_m

    def _around(self, zoom: int, names: list[tuple[str, str]]) -> GeoBounds:
        side = 1 << zoom
        columns = np.unique([int(column) for column, _ in names])
        named = {int(row.partition(".")[0]) for _, row in names}
        rows = {side - 1 - row for row in named} if self._from_south else named
        # The widest gap between columns is where the map is not: it may straddle the antimeridian.
        gap = int(np.argmax(np.diff(columns, append=columns[0] + side)))
        first = mercator.tile_bounds(int(columns[(gap + 1) % len(columns)]), min(rows), zoom)
        last = mercator.tile_bounds(int(columns[gap]), max(rows), zoom)
        return GeoBounds(first.west, last.south, last.east, first.north)

    def content(self, column: int, row: int, zoom: int) -> bytes | None:
        """See `SlippySource.content`."""
        named = (1 << zoom) - 1 - row if self._from_south else row
        for suffix in _SUFFIXES:
            path = self._folder / str(zoom) / str(column) / f"{named}{suffix}"
            try:
                return path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise MapError(f"{path} cannot be read: {error.strerror}") from error
        return None


def _tiles(level: Path) -> Iterator[tuple[str, str]]:
    """(column's folder, file) of the tiles of a zoom level."""
    side = 1 << int(level.name)
    for column in os.listdir(level):
        if not (_NUMBER.fullmatch(column) and int(column) < side and (level / column).is_dir()):
            continue
        for name in os.listdir(level / column):
            if (match := _ROW.fullmatch(name)) and int(match.group(1)) < side:
                yield column, name


def _describe(folder: Path) -> TileFolderDescription:
    path, resource = folder / DESCRIPTION_FILE, folder / _TMS_FILE
    fields: dict[str, object] = {}
    try:
        if resource.exists():
            if "mercator" not in resource.read_text(encoding="utf-8", errors="replace"):
                raise MapError(f"{resource} describes no Web Mercator tiles; make them anew: gdal2tiles.py --xyz")
            fields["scheme"] = "tms"
        if path.exists():
            said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            if not isinstance(said, dict):
                raise MapError(f"{path} does not describe the tiles; write scheme: xyz or scheme: tms")
            fields |= said
        return TileFolderDescription.model_validate(fields)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise MapError(f"{path} does not describe the tiles: {error}") from error
