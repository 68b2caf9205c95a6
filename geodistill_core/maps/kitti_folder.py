# SPDX-License-Identifier: Apache-2.0
"""The satellite images of cross-view localization on KITTI as a map."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.placed_images import PlacedImages, TileNaming
from geodistill_core.types import GeoPoint

KITTI_NAMING = TileNaming(zoom=18, side_px=1280, tile_size=512)
"""Of satellite images that were fetched with twice the usual resolution."""
SPACING_M = 20.0
"""An image is 250 m wide; images of every frame would show the same ground a hundred times."""
_FRAME = re.compile(r"(\d{4}_\d{2}_\d{2})/\1_drive_\d{4}_(?:sync|extract)/\d{10}\.png")


def satmap_images(folder: Path) -> tuple[Path, list[str]]:
    """KITTI's `satmap` that `folder` holds, is or lies in, and its images there: DAY/DRIVE/FRAME.png, in order."""
    folder = folder.resolve()
    here = folder / "satmap" if (folder / "satmap").is_dir() else folder
    satmap = next((path for path in (here, here.parent, here.parent.parent) if path.name == "satmap"), None)
    if satmap is None:
        return here, []
    names = sorted(path.relative_to(satmap).as_posix() for path in here.rglob("*.png"))
    return satmap, [name for name in names if _FRAME.fullmatch(name)]


class KittiFolder(PlacedImages):
    """`satmap/DAY/DRIVE/FRAME.png`, one image every 20 m of a drive.

    The images do not say where they are: each is centred on the inertial unit, whose records lie beside them in
    `raw_data/DAY/DRIVE/oxts/data/FRAME.txt`. An image without a record is left out.

    Raises:
        MapError: no image has a record.
    """

    kind = "kitti"

    def __init__(self, satmap: Path, names: list[str]) -> None:
        placed = list(_placed(satmap, names))
        if not placed:
            raise MapError(
                f"none of the {len(names)} images in {satmap} can be placed: they carry no position in themselves; lay "
                f"KITTI's raw data beside them, {satmap.parent / 'raw_data'}/DAY/DRIVE/oxts/data/FRAME.txt"
            )
        paths, points = zip(*placed, strict=True)
        centers = np.array([(point.latitude, point.longitude) for point in points])
        super().__init__(paths, centers, KITTI_NAMING, str(satmap))


def _placed(satmap: Path, names: list[str]) -> Iterator[tuple[Path, GeoPoint]]:
    """Image and place, one every 20 m of a drive."""
    drive, last = "", LocalFrame(GeoPoint(0.0, 0.0))
    for name in names:
        path = satmap / name
        records = satmap.parent / "raw_data" / Path(name).parent / "oxts" / "data"
        point = _position(records / f"{path.stem}.txt")
        if point is None:
            continue
        if path.parent.name == drive and np.hypot(*last.to_enu(point.latitude, point.longitude)) < SPACING_M:
            continue
        drive, last = path.parent.name, LocalFrame(point)
        yield path, point


def _position(record: Path) -> GeoPoint | None:
    """Latitude and longitude, which begin a record; None without one."""
    try:
        latitude, longitude = record.read_text(encoding="ascii").split(maxsplit=2)[:2]
        return GeoPoint(float(latitude), float(longitude))
    except (OSError, ValueError, ConfigError):
        return None
