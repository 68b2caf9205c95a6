# SPDX-License-Identifier: Apache-2.0
"""Decoding what is at hand of a GeoTIFF on a server: GDAL reads, and what it lacks is named."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import rasterio

from geodistill_core.errors import MapError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.geotiff import GeoTiffSource
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.remote.file import NotAtHandError, RemoteFile

LARGEST_BLOCK = 1 << 24
# The head of a file ends somewhere: seeking from the end must lead beyond any real one.
_BEYOND = 1 << 50
_NAMES = itertools.count()

Answer = TypeVar("Answer")


class _AtHand(io.RawIOBase):
    """What GDAL reads; where bytes are not at hand the file seems to end, and `lacking` remembers."""

    def __init__(self, file: RemoteFile, lacking: list[NotAtHandError]) -> None:
        super().__init__()
        self._file, self._lacking, self._position = file, lacking, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: _BEYOND}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._file.read(self._position, max(size, 0))
        except NotAtHandError as error:
            self._lacking.append(error)
            return b""
        self._position += len(data)
        return data


def read_tiff(file: RemoteFile, name: str, level: int, use: Callable[[GeoTiffSource], Answer]) -> Answer:
    """What `use` makes of the raster (level 0) or one of its overviews. NotAtHandError names what to fetch."""
    lacking: list[NotAtHandError] = []
    # GDAL knows files by name, and this one is another after each fetch.
    alias = f"geodistill-{next(_NAMES)}.tif"

    def opener(path: str, mode: str = "rb") -> _AtHand:
        if path != alias:
            raise FileNotFoundError(path)
        return _AtHand(file, lacking)

    how: dict[str, Any] = {"opener": opener, "driver": "GTiff"} | ({"overview_level": level - 1} if level else {})
    try:
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
            closing(GeoTiffSource(Path(alias), **how)) as source,
        ):
            answer = use(source)
    except NotAtHandError:
        raise
    except MapError as error:
        if lacking:
            raise lacking[0] from None
        raise MapError(str(error).replace(alias, name)) from error
    if lacking:
        raise lacking[0]
    return answer


@dataclass(frozen=True)
class Layout:
    """The file's own geometry: (width, height) of each level, level 0 the full one; bounds and metres per pixel."""

    grid: PixelGrid
    sizes: tuple[tuple[int, int], ...]
    bounds: GeoBounds
    metres_per_pixel: float


def measure(file: RemoteFile, name: str) -> Layout:
    """The geometry of a file whose head is at hand."""

    def full(source: GeoTiffSource) -> tuple[GeoTiffSource, int]:
        if source.block_pixels > LARGEST_BLOCK:
            raise MapError(
                f"{name} is stored in blocks of {source.block_pixels} pixels, more than {LARGEST_BLOCK}; convert it: "
                "gdal_translate -of COG"
            )
        return source, source.overviews

    grid, overviews = read_tiff(file, name, 0, full)
    reduced = (read_tiff(file, name, level, lambda source: source.size) for level in range(1, overviews + 1))
    # Closed, it still knows where its pixels lie.
    return Layout(grid, (grid.size, *reduced), grid.bounds(), grid.info().metres_per_pixel)
