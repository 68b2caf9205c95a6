# SPDX-License-Identifier: Apache-2.0
"""WMS 1.1.1 and 1.3.0 GetMap, in any coordinate system that pyproj knows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyproj
from pyproj.exceptions import CRSError

from geodistill_core.maps.cut import TileGiver, cut
from geodistill_core.maps.encode import encode_tile
from geodistill_core.maps.serve.http import Reply
from geodistill_core.maps.target import Target
from geodistill_core.types import Array, GeoPoint

MAX_SIDE = 4096
FORMATS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_GEOD = pyproj.Geod(ellps="WGS84")


_Box = tuple[float, float, float, float]
"""West, south, east, north in a projection's units."""


class _RefusedError(Exception):
    """A request that the standard answers with a ServiceException."""


@lru_cache(maxsize=16)
def _projection(name: str, version: str) -> tuple[pyproj.Transformer, bool]:
    """From its (x east, y north) to degrees, and whether the box is given as (y, x): 1.3.0 follows the axis order."""
    try:
        crs = pyproj.CRS.from_user_input("EPSG:4326" if name == "CRS:84" else name)
    except CRSError as error:
        raise _RefusedError(f"coordinate system {name!r} is not known") from error
    swapped = version == "1.3.0" and name != "CRS:84" and crs.axis_info[0].direction == "north"
    return pyproj.Transformer.from_crs(crs, 4326, always_xy=True), swapped


class _BoxTarget(Target):
    """The square, north-west aligned, that holds a width x height picture of a box in some projection."""

    def __init__(self, to_degrees: pyproj.Transformer, box: _Box, size: tuple[int, int]) -> None:
        self._to_degrees, self._left, self._top = to_degrees, box[0], box[3]
        self._step = (box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]
        self.side = max(*size, 16)
        middle = np.array([0.0, 1.0]) + size[0] / 2, np.array([0.0, 0.0]) + size[1] / 2
        latitude, longitude = self.to_geodetic(*middle)
        if not np.isfinite([latitude, longitude]).all() or np.abs(latitude).max() > 90.0:
            raise _RefusedError(f"box {box} lies outside the coordinate system")
        self.center = GeoPoint(float(latitude[0]), float(longitude[0]))
        self.metres_per_pixel = float(_GEOD.inv(longitude[0], latitude[0], longitude[1], latitude[1])[2])

    def to_geodetic(self, column: Array, row: Array) -> tuple[Array, Array]:
        """See `Target.to_geodetic`."""
        x, y = self._left + column * self._step[0], self._top - row * self._step[1]
        longitude, latitude = self._to_degrees.transform(x, y)
        return np.asarray(latitude), np.asarray(longitude)


@dataclass(frozen=True, slots=True)
class _MapRequest:
    """GetMap's parameters, checked."""

    box: _Box
    size: tuple[int, int]
    to_degrees: pyproj.Transformer
    media_type: str
    transparent: bool


def _parse(query: dict[str, str]) -> _MapRequest:
    version = query.get("VERSION", "1.3.0")
    if version not in ("1.1.1", "1.3.0"):
        raise _RefusedError(f"version {version!r} is not 1.1.1 or 1.3.0")
    to_degrees, swapped = _projection(query.get("CRS" if version == "1.3.0" else "SRS", ""), version)
    try:
        numbers = [float(part) for part in query["BBOX"].split(",")]
        first, second, third, fourth = numbers
        width, height = int(query["WIDTH"]), int(query["HEIGHT"])
    except (KeyError, ValueError) as error:
        raise _RefusedError("BBOX of four numbers, WIDTH and HEIGHT are needed") from error
    box = (second, first, fourth, third) if swapped else (first, second, third, fourth)
    if not np.isfinite(box).all() or not (box[0] < box[2] and box[1] < box[3]):
        raise _RefusedError(f"BBOX {query['BBOX']} does not ascend")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise _RefusedError(f"{width} x {height} pixels are outside 1..{MAX_SIDE}")
    media_type = query.get("FORMAT", "image/png")
    if media_type not in FORMATS:
        raise _RefusedError(f"format {media_type!r} is not one of {', '.join(FORMATS)}")
    return _MapRequest(box, (width, height), to_degrees, media_type, query.get("TRANSPARENT", "").upper() == "TRUE")


def get_map(source: TileGiver, query: dict[str, str]) -> Reply:
    """The picture asked for; white where imagery is missing, or transparent if so asked in PNG. 400 for nonsense."""
    try:
        wanted = _parse(query)
        target = _BoxTarget(wanted.to_degrees, wanted.box, wanted.size)
    except _RefusedError as refused:
        text = str(refused).replace("&", "&amp;").replace("<", "&lt;")
        body = f"<ServiceExceptionReport><ServiceException>{text}</ServiceException></ServiceExceptionReport>"
        return Reply(body.encode(), "text/xml", 400)
    rgb, valid = (part[: wanted.size[1], : wanted.size[0]] for part in cut(source, target))
    if not (wanted.transparent and wanted.media_type == "image/png"):
        rgb, valid = np.where(valid[..., None], rgb, 255).astype(np.uint8), np.ones_like(valid)
    return Reply(encode_tile(rgb, valid, FORMATS[wanted.media_type]), wanted.media_type)
