# SPDX-License-Identifier: Apache-2.0
"""One door to every kind of map."""

from __future__ import annotations

from pathlib import Path

from geodistill_core.errors import MapError
from geodistill_core.maps.source import MapSource

_SQLITE = b"SQLite format 3\x00"


def open_map(path: str | Path) -> MapSource:
    """The map at `path`, told by its content: a folder of named tiles, MBTiles, or a GeoTIFF or VRT.

    MapError when there is nothing, or nothing of these kinds.
    """
    path = Path(path)
    if path.is_dir():
        from geodistill_core.maps.folder import FolderSource

        return FolderSource(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
    except OSError as error:
        raise MapError(
            f"map {path} cannot be opened: {error.strerror}; give a folder of tiles, MBTiles or a GeoTIFF"
        ) from error
    if head == _SQLITE:
        from geodistill_core.maps.mbtiles import MBTilesSource

        return MBTilesSource(path)
    from geodistill_core.maps.geotiff import GeoTiffSource

    return GeoTiffSource(path)
