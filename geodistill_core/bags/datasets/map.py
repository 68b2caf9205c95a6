# SPDX-License-Identifier: Apache-2.0
"""A data set's overhead images as a map beside its recordings: their files, under names that say where they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from geodistill_core.bags.datasets.drive import TileSet
from geodistill_core.bags.manifest import folder_sha256, sha256_of
from geodistill_core.errors import MapError
from geodistill_core.maps.placed_images import NAMING_FILE

Mapper = Callable[[Callable[[Path], str], Iterable[Path]], Iterable[str]]


def place_tiles(folder: Path, tiles: TileSet, mapped: Mapper) -> str:
    """Make the map's folder, or complete it, and return its hash; `mapped` applies a function, in order.

    Files are linked where the file system allows it, else copied; a folder made earlier keeps what it has.

    Raises:
        MapError: the folder cannot be written, or a file in it is another than the data set's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for tile in tiles.tiles:
            _place(tile.path, folder / tile.name)
        naming = yaml.safe_dump(tiles.naming.model_dump(), sort_keys=False)
        (folder / NAMING_FILE).write_text(naming, encoding="utf-8")
        paths = [folder / NAMING_FILE, *(folder / tile.name for tile in tiles.tiles)]
        hashes = dict(zip((path.name for path in paths), mapped(sha256_of, paths), strict=True))
    except OSError as error:
        raise MapError(f"cannot write the map {folder}: {error.strerror or error}; choose another folder") from error
    return folder_sha256(hashes)


def _place(source: Path, target: Path) -> None:
    if target.exists():
        if target.stat().st_size != source.stat().st_size:
            raise MapError(f"{target} is another picture than {source.name} of the data set; remove it")
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)
