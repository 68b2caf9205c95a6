# SPDX-License-Identifier: Apache-2.0
"""GeoTIFF and VRT mosaics in any coordinate system."""

from __future__ import annotations

import itertools
import threading
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from geodistill_core.errors import MapError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.decode import stated_sigma_m
from geodistill_core.maps.grid import PixelGrid, Pixels, Window
from geodistill_core.maps.gridded import GriddedSource
from geodistill_core.maps.source import MapInfo
from geodistill_core.maps.target import Target
from geodistill_core.types import Array

_OPAQUE = 128
_CYLINDRICAL = ("Mercator", "Equidistant Cylindrical", "Popular Visualisation")
# Filters of warnings are the whole process's.
_FILTERING = threading.Lock()


def _band_indexes(dataset: rasterio.DatasetReader, path: Path) -> list[int]:
    """Bands of red, green and blue, or the grey band thrice."""
    roles = list(dataset.colorinterp)
    if any(dtype != "uint8" for dtype in dataset.dtypes):
        raise MapError(f"{path} holds {dataset.dtypes[0]} values; convert it: gdal_translate -ot Byte -scale")
    if ColorInterp.palette in roles:
        raise MapError(f"{path} is a palette image; expand it: gdal_translate -expand rgb")
    colors = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    if all(color in roles for color in colors):
        return [roles.index(color) + 1 for color in colors]
    return [1, 2, 3] if dataset.count >= 3 else [1, 1, 1]


def _apply(affine: rasterio.Affine, first: Array, second: Array) -> tuple[Array, Array]:
    """The affine map of two coordinate arrays."""
    return (
        affine.a * first + affine.b * second + affine.c,
        affine.d * first + affine.e * second + affine.f,
    )


def _turn(crs: pyproj.CRS) -> float | None:
    """Width of the world in the units of x, for systems whose x jumps where the longitude wraps."""
    if crs.is_geographic:
        return 360.0
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    if "Transverse" in method or "Oblique" in method or not any(name in method for name in _CYLINDRICAL):
        return None
    to_crs = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    middle = to_crs.transform(0.0, 0.0, direction="INVERSE")[0]
    return float(to_crs.transform(middle + 1.0, 0.0)[0] - to_crs.transform(middle, 0.0)[0]) * 360.0


@lru_cache(maxsize=64)
def _reference(wkt: str) -> tuple[pyproj.Transformer, float | None]:
    """From degrees into a coordinate system, and its `_turn`; the sheets of a survey share it. ProjError for no place.

    Making a transformer takes as long as reading a hundred files' heads.
    """
    crs = pyproj.CRS.from_wkt(wkt)
    return pyproj.Transformer.from_crs(4326, crs, always_xy=True), _turn(crs)


def _open(path: Path, how: dict[str, Any]) -> rasterio.DatasetReader:
    with _FILTERING, warnings.catch_warnings():
        # A missing geo-reference is an error of ours, not a warning on somebody's terminal.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, **how)


class GeoTiffSource(GriddedSource, PixelGrid):
    """An 8-bit RGB or grey raster; nodata, alpha and mask bands say where imagery is missing.

    `how` goes to `rasterio.open`.
    """

    def __init__(self, path: Path, **how: Any) -> None:
        self._path, self._lock = path, threading.Lock()
        try:
            self._dataset = _open(path, how)
        except RasterioError as error:
            raise MapError(f"{path} is not a raster that GDAL can read: {error}") from error
        try:
            self._indexes = _band_indexes(self._dataset, path)
            if self._dataset.crs is None or self._dataset.transform.is_identity:
                raise MapError(f"{path} has no geo-reference; add one: gdal_translate -a_srs EPSG:... -a_ullr ...")
            self._to_crs, self._turn = _reference(self._dataset.crs.to_wkt())
        except (CRSError, pyproj.exceptions.ProjError) as error:
            self._dataset.close()
            raise MapError(
                f"{path} is in a coordinate system of no known place ({error}); name the real one: "
                "gdal_translate -a_srs EPSG:..."
            ) from error
        except BaseException:
            self._dataset.close()
            raise
        self._size = (self._dataset.width, self._dataset.height)
        self._transform = self._dataset.transform
        middle = np.array(self._size) / 2
        self._middle_x = float(_apply(self._transform, middle[0], middle[1])[0])
        tags = self._dataset.tags()
        self.attribution = tags.get("TIFFTAG_COPYRIGHT", "").strip()
        self.map_sigma_m = stated_sigma_m(tags.get("map_sigma_m", ""))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    @property
    def overviews(self) -> int:
        """How many reduced copies the file has."""
        return len(self._dataset.overviews(1))

    @property
    def block_pixels(self) -> int:
        """How many pixels the file stores as one piece."""
        return max(int(height * width) for height, width in self._dataset.block_shapes)

    def block_spans(self, window: Window) -> list[tuple[int, int]]:
        """Offset and length in the file of the blocks under a window, as far as the file tells."""
        left, top = max(window.column, 0), max(window.row, 0)
        right, bottom = min(window.column + window.width, self._size[0]), min(window.row + window.height, self._size[1])
        spans = []
        for band in sorted(set(self._indexes)):
            height, width = self._dataset.block_shapes[band - 1]
            blocks = itertools.product(
                range(left // width, -(-right // width)), range(top // height, -(-bottom // height))
            )
            spans += [self._block_span(band, column, row) for column, row in blocks]
        # Bands that are stored together share their blocks.
        return [span for span in dict.fromkeys(spans) if span is not None]

    def _block_span(self, band: int, column: int, row: int) -> tuple[int, int] | None:
        offset, length = (
            self._dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE")
        )
        return (int(offset), int(length)) if offset and length else None

    def to_pixel(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """See `PixelGrid.to_pixel`."""
        x, y = (np.asarray(part) for part in self._to_crs.transform(longitude, latitude))
        if self._turn is not None:
            middle = x.flat[x.size // 2]
            x = x - self._turn * np.round((x - middle) / self._turn)
            x = x - self._turn * np.round((middle - self._middle_x) / self._turn)
        column, row = _apply(~self._transform, x, y)
        return np.where(np.isfinite(x), column, np.nan), np.where(np.isfinite(y), row, np.nan)

    def read(self, window: Window) -> Pixels:
        """See `PixelGrid.read`."""
        return self.read_means(window, 1)

    def read_means(self, window: Window, factor: int) -> Pixels:
        """See `PixelGrid.read_means`; GDAL averages, from overviews where the file has them."""
        width, height = window.width // factor, window.height // factor
        rgb, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.bool_)
        # Whole cells of factor x factor pixels that lie inside the raster.
        left, top = max(0, -(window.column // factor)), max(0, -(window.row // factor))
        right = min(width, (self._size[0] - window.column) // factor)
        bottom = min(height, (self._size[1] - window.row) // factor)
        if left >= right or top >= bottom:
            return rgb, valid
        part = RasterWindow(
            window.column + left * factor,
            window.row + top * factor,
            (right - left) * factor,
            (bottom - top) * factor,
        )
        shape = (bottom - top, right - left)
        try:
            with self._lock:
                bands = self._dataset.read(
                    self._indexes, window=part, out_shape=(3, *shape), resampling=Resampling.average
                )
                mask = self._dataset.dataset_mask(window=part, out_shape=shape, resampling=Resampling.average)
        except (RasterioError, ValueError) as error:
            raise MapError(f"{self._path} cannot be read at {part}: {error}. Copy the file again") from error
        inside = np.s_[top:bottom, left:right]
        valid[inside] = mask >= _OPAQUE
        rgb[inside] = np.where(valid[inside][..., None], np.moveaxis(bands, 0, 2), 0)
        return rgb, valid

    def grids(self, target: Target) -> tuple[PixelGrid]:
        """The raster itself."""
        return (self,)

    def bounds(self) -> GeoBounds:
        """The rectangle around the raster's edges."""
        column, row = np.meshgrid(np.linspace(0, self._size[0], 9), np.linspace(0, self._size[1], 9))
        x, y = _apply(self._transform, column, row)
        longitude, latitude = self._to_crs.transform(x, y, direction="INVERSE")
        if self._turn is not None and np.ptp(x) >= self._turn / 2:
            return GeoBounds(-180.0, float(np.min(latitude)), 180.0, float(np.max(latitude)))
        return GeoBounds.enclosing(latitude, longitude)

    def info(self) -> MapInfo:
        """What the map holds; the resolution is measured at its middle."""
        column = np.array([0.0, 1.0]) + self._size[0] / 2
        x, y = _apply(self._transform, column, np.full(2, self._size[1] / 2))
        longitude, latitude = self._to_crs.transform(x, y, direction="INVERSE")
        resolution = pyproj.Geod(ellps="WGS84").inv(longitude[0], latitude[0], longitude[1], latitude[1])[2]
        return MapInfo("geotiff", str(self._path), self.bounds(), (), float(resolution), self.attribution)

    def close(self) -> None:
        """Close the file."""
        super().close()
        with self._lock:
            self._dataset.close()
