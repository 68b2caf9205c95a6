# SPDX-License-Identifier: Apache-2.0
"""A folder of overhead images whose names say where they are, as VIGOR ships them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import wrap_longitude
from geodistill_core.maps.decode import decode_tile
from geodistill_core.maps.grid import PixelGrid, Pixels, Window, crop
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.types import Array, GeoPoint

TILE_NAME = re.compile(r"satellite_(-?\d+(?:\.\d+)?)_(-?\d+(?:\.\d+)?)\.(?:png|jpe?g|webp)", re.IGNORECASE)
_CACHED_TILES = 32


class TileNaming(BaseModel):
    """`tiles.yaml` beside the images: how large they are, and how many pixels span the world at their zoom.

    The defaults are VIGOR's: 640 x 640 pixels cut from the Web Mercator world of 256 * 2^20 pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    zoom: int = Field(default=20, ge=0, le=mercator.MAX_ZOOM)
    side_px: int = Field(default=640, ge=16, le=8192)
    tile_size: int = Field(default=256, ge=64, le=1024)
    attribution: str = ""


def _read_naming(path: Path) -> TileNaming:
    if not path.exists():
        return TileNaming()
    try:
        return TileNaming.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise MapError(f"{path} does not describe the tiles: {error}") from error


class _NamedTile(PixelGrid):
    """One image, centred on the place in its name."""

    def __init__(self, source: FolderSource, index: int) -> None:
        self._source, self._index = source, index

    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """See `PixelGrid.to_pixel`."""
        center_latitude, center_longitude = self._source.centers[self._index]
        naming = self._source.naming
        if np.abs(latitude).max() > mercator.MAX_LATITUDE:
            return np.full_like(latitude, np.nan), np.full_like(latitude, np.nan)
        eastward = wrap_longitude(longitude - center_longitude)
        x, y = mercator.to_pixel(latitude, eastward, naming.zoom, naming.tile_size)
        center_x, center_y = mercator.to_pixel(center_latitude, 0.0, naming.zoom, naming.tile_size)
        return x - center_x + naming.side_px / 2, y - center_y + naming.side_px / 2

    def read(self, window: Window) -> Pixels:
        """See `PixelGrid.read`."""
        side = self._source.naming.side_px
        apart = window.column >= side or window.row >= side
        if apart or window.column + window.width <= 0 or window.row + window.height <= 0:
            return crop(np.empty((0, 0, 3), np.uint8), None, window)
        return crop(*self._source.image(self._index), window)


class FolderSource(GriddedSource):
    """Images named `satellite_LATITUDE_LONGITUDE.png` (or jpg, webp), north-up; see `TileNaming`.

    Where images overlap, the one whose centre is nearest to the tile's centre is used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        matches = [match for path in sorted(folder.iterdir()) if (match := TILE_NAME.fullmatch(path.name))]
        if not matches:
            raise MapError(f"{folder} holds no satellite_LATITUDE_LONGITUDE.png; give a folder of such tiles")
        self.naming = _read_naming(folder / "tiles.yaml")
        self.attribution = self.naming.attribution
        self._names = [match.group(0) for match in matches]
        self.centers = np.array([(float(match.group(1)), float(match.group(2))) for match in matches])
        bad = (np.abs(self.centers) > (mercator.MAX_LATITUDE, 180.0)).any(axis=1)
        if bad.any():
            raise MapError(
                f"{self._names[int(np.argmax(bad))]} in {folder} is not on the Web Mercator world; rename it"
            )
        self.image = lru_cache(maxsize=_CACHED_TILES)(self._read_image)
        self.image(0)

    def _read_image(self, index: int) -> tuple[Array, Array | None]:
        path = self._folder / self._names[index]
        try:
            rgb, valid = decode_tile(path.read_bytes(), str(path))
        except OSError as error:
            raise MapError(f"{path} cannot be read: {error}") from error
        if rgb.shape[:2] != (self.naming.side_px, self.naming.side_px):
            raise MapError(
                f"{path} is {rgb.shape[1]} x {rgb.shape[0]} pixels, expected {self.naming.side_px} square; "
                f"set side_px, zoom and tile_size in {self._folder / 'tiles.yaml'}"
            )
        return rgb, valid

    def _distances_m(self, center: GeoPoint) -> Array:
        """Per tile the larger of the distances north and east, close enough to rank and to reject."""
        north = (self.centers[:, 0] - center.latitude) * 111_320.0
        east = wrap_longitude(self.centers[:, 1] - center.longitude) * 111_320.0
        return np.asarray(np.maximum(np.abs(north), np.abs(east) * np.cos(np.radians(center.latitude))))

    def grids(self, target: Target) -> Iterator[PixelGrid]:
        """The images that may reach into the target, nearest first."""
        distances_m = self._distances_m(target.center)
        reach_m = self.info().metres_per_pixel * self.naming.side_px + target.metres_per_pixel * target.side
        for index in np.argsort(distances_m, kind="stable"):
            if distances_m[index] > reach_m:
                return
            yield _NamedTile(self, int(index))

    def nearest_coverage(self, center: GeoPoint) -> GeoPoint:
        """The centre of the nearest image."""
        return GeoPoint(*(float(part) for part in self.centers[int(np.argmin(self._distances_m(center)))]))

    def bounds(self) -> GeoBounds:
        """The rectangle around all images."""
        naming = self.naming
        x, y = mercator.to_pixel(self.centers[:, 0], self.centers[:, 1], naming.zoom, naming.tile_size)
        half = naming.side_px / 2
        corners = [mercator.to_geodetic(x + s, y + s, naming.zoom, naming.tile_size) for s in (-half, half)]
        return GeoBounds.enclosing(*(np.concatenate(parts) for parts in zip(*corners, strict=True)))

    def info(self) -> MapInfo:
        """What the map holds; the resolution is that of the finest image."""
        latitude = float(np.abs(self.centers[:, 0]).max())
        resolution = mercator.metres_per_pixel(latitude, self.naming.zoom, self.naming.tile_size)
        zooms = (self.naming.zoom,)
        return MapInfo("folder", str(self._folder), self.bounds(), zooms, resolution, self.attribution)
