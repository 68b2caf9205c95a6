# SPDX-License-Identifier: Apache-2.0
"""A folder of overhead images whose names say where they are, as VIGOR ships them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml
from pydantic import ValidationError

from geodistill_core.errors import MapError
from geodistill_core.maps.placed_images import NAMING_FILE, PlacedImages, TileNaming

TILE_NAME = re.compile(r"satellite_(-?\d+(?:\.\d+)?)_(-?\d+(?:\.\d+)?)\.(?:png|jpe?g|webp)", re.IGNORECASE)


def _read_naming(path: Path) -> TileNaming:
    if not path.exists():
        return TileNaming()
    try:
        return TileNaming.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise MapError(f"{path} does not describe the tiles: {error}") from error


class FolderSource(PlacedImages):
    """Images named `satellite_LATITUDE_LONGITUDE.png` (or jpg, webp), north-up; see `TileNaming`."""

    kind = "folder"

    def __init__(self, folder: Path) -> None:
        matches = [match for path in sorted(folder.iterdir()) if (match := TILE_NAME.fullmatch(path.name))]
        if not matches:
            raise MapError(f"{folder} holds no satellite_LATITUDE_LONGITUDE.png; give a folder of such tiles")
        centers = np.array([(float(match.group(1)), float(match.group(2))) for match in matches])
        naming = _read_naming(folder / NAMING_FILE)
        super().__init__([folder / match.group(0) for match in matches], centers, naming, str(folder))
