# SPDX-License-Identifier: Apache-2.0
"""One door to every kind of map."""

from __future__ import annotations

from pathlib import Path

from geodistill_core.errors import MapError
from geodistill_core.maps.source import MapSource

_SQLITE = b"SQLite format 3\x00"
_PMTILES = b"PMTiles"
_SPEC_SUFFIXES = (".yaml", ".yml")


def open_map(path: str | Path) -> MapSource:
    """The map at `path`: MBTiles, PMTiles, a GeoTIFF or VRT, a folder of tiles, GeoTIFFs or placed images, all told
    by their content; or the service that a `.yaml` file describes, of which nothing is fetched yet.

    MapError when there is nothing, or nothing of these kinds; ConfigError for a refused description.
    """
    if "://" in str(path):
        raise MapError(
            f"map {str(path).partition('?')[0]!r} is a web address; describe the service and its terms in a YAML file "
            "(see docs/maps.md), and give that"
        )
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if path.suffix.lower() in _SPEC_SUFFIXES:
        from geodistill_core.maps.remote import open_source
        from geodistill_core.maps.spec import load_source

        return open_source(load_source(path))
    return _open_file(path)


def _open_folder(path: Path) -> MapSource:
    from geodistill_core.maps.folder import TILE_NAME, FolderSource
    from geodistill_core.maps.kitti_folder import KittiFolder, satmap_images
    from geodistill_core.maps.mosaic import SUFFIXES, MosaicSource
    from geodistill_core.maps.tile_folder import TileFolder, zoom_folders

    try:
        names = [entry.name for entry in path.iterdir()]
        if any(map(TILE_NAME.fullmatch, names)):
            return FolderSource(path)
        if any(name.lower().endswith(SUFFIXES) for name in names):
            return MosaicSource(path)
        if zoom_folders(path):
            return TileFolder(path)
        satmap, images = satmap_images(path)
    except OSError as error:
        raise MapError(f"map {path} cannot be read: {error}") from error
    if images:
        return KittiFolder(satmap, images)
    raise MapError(
        f"{path} holds no map; give a folder of ZOOM/COLUMN/ROW.png, of GeoTIFFs, of satellite_LATITUDE_LONGITUDE.png, "
        "or KITTI's satmap"
    )


def _open_file(path: Path) -> MapSource:
    try:
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
    except OSError as error:
        raise MapError(
            f"map {path} cannot be opened: {error.strerror}; give a folder of tiles, MBTiles, PMTiles, a GeoTIFF or "
            "the YAML description of a service"
        ) from error
    if head == _SQLITE:
        from geodistill_core.maps.mbtiles import MBTilesSource

        return MBTilesSource(path)
    if head.startswith(_PMTILES):
        from geodistill_core.maps.pmtiles import PMTilesFile

        return PMTilesFile(path)
    from geodistill_core.maps.geotiff import GeoTiffSource

    return GeoTiffSource(path)
