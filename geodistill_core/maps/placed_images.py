# SPDX-License-Identifier: Apache-2.0
"""Overhead images on the Web Mercator world, each known by the place of its centre."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import wrap_longitude
from geodistill_core.maps.cache import MemoryCache
from geodistill_core.maps.decode import decode_tile
from geodistill_core.maps.grid import PixelGrid, Pixels, Window, crop
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.slippy import DecodedTile, bytes_of
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.types import Array, GeoPoint

NAMING_FILE = "tiles.yaml"
_DECODED_BYTES = 64 << 20


class TileNaming(BaseModel):
    """`tiles.yaml` beside the images: how large they are, and how many pixels span the world at their zoom.

    The defaults are VIGOR's: 640 x 640 pixels cut from the Web Mercator world of 256 * 2^20 pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    zoom: int = Field(default=20, ge=0, le=mercator.MAX_ZOOM)
    side_px: int = Field(default=640, ge=16, le=8192)
    tile_size: int = Field(default=256, ge=64, le=1024)
    attribution: str = ""


class _PlacedImage(PixelGrid):
    """One image, centred on the place in its name."""

    def __init__(self, source: PlacedImages, index: int) -> None:
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


class PlacedImages(GriddedSource):
    """North-up images, one a path of `paths`; `centers` [N, 2] are their centres in degrees (latitude, longitude).

    Where images overlap, the one whose centre is nearest to the tile's centre is used.

    Raises:
        MapError: there is none, one lies beyond the Web Mercator world, or the first cannot be read.
    """

    kind = "images"

    def __init__(self, paths: Sequence[Path], centers: Array, naming: TileNaming, location: str) -> None:
        if not paths:
            raise MapError(f"{location} holds no image; give a map with imagery")
        self.naming, self.attribution = naming, naming.attribution
        self._paths, self._location = tuple(paths), location
        self.centers = np.asarray(centers, np.float64).reshape(len(paths), 2)
        bad = ~(np.abs(self.centers) <= (mercator.MAX_LATITUDE, 180.0)).all(axis=1)
        if bad.any():
            raise MapError(f"{self._paths[int(np.argmax(bad))]} is not on the Web Mercator world; rename it")
        self._decoded: MemoryCache[int, DecodedTile] = MemoryCache(_DECODED_BYTES)
        self.image(0)

    def image(self, index: int) -> DecodedTile:
        """The pixels of an image. MapError: it is missing, damaged or of another size."""
        known = self._decoded.get(index)
        if known is None:
            known = self._read_image(index)
            self._decoded.put(index, known, bytes_of(known))
        return known

    def _read_image(self, index: int) -> DecodedTile:
        path = self._paths[index]
        try:
            rgb, valid = decode_tile(path.read_bytes(), str(path))
        except OSError as error:
            raise MapError(f"{path} cannot be read: {error}") from error
        if rgb.shape[:2] != (self.naming.side_px, self.naming.side_px):
            raise MapError(
                f"{path} is {rgb.shape[1]} x {rgb.shape[0]} pixels, expected {self.naming.side_px} square; "
                f"set side_px, zoom and tile_size in {path.parent / NAMING_FILE}"
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
        latitude = min(abs(target.center.latitude), mercator.MAX_LATITUDE)
        image_m = mercator.metres_per_pixel(latitude, self.naming.zoom, self.naming.tile_size) * self.naming.side_px
        near = np.flatnonzero(distances_m <= image_m + target.metres_per_pixel * target.side)
        for index in near[np.argsort(distances_m[near], kind="stable")]:
            yield _PlacedImage(self, int(index))

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
        return MapInfo(self.kind, self._location, self.bounds(), zooms, resolution, self.attribution)
