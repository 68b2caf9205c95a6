# SPDX-License-Identifier: Apache-2.0
"""The canonical ground view: a gravity-aligned panoramic strip, the same for every camera.

Columns are azimuths clockwise from the heading (centre column = ahead), rows are depressions below the horizon, spaced
exponentially: fine near the horizon, where a pixel spans metres of ground, coarse at the vehicle's feet. Whatever
camera took the picture, the network sees this strip and the ground projection becomes one analytic formula
(`strip_coordinates`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from geodistill_core.geometry.ground_plane import (
    camera_in_level,
    directions,
    panorama_pixels,
    pixels_of_directions,
    sample,
)
from geodistill_core.types import Array, GroundImage

_SUPERSAMPLING = 2
_FEWEST_ROWS = 16  # of an image


@dataclass(frozen=True, slots=True)
class StripGeometry:
    """Size and row spacing of the strip; `growth` is the logarithm of the ratio of row heights, bottom to top."""

    width: int = 256
    height: int = 192
    top_depression_rad: float = math.radians(-8.0)
    bottom_depression_rad: float = math.radians(60.0)
    growth: float = 1.8

    def depression(self, row_fraction: Array) -> Array:
        """Depression (rad) at a row fraction (0 = top edge, 1 = bottom edge)."""
        span = self.bottom_depression_rad - self.top_depression_rad
        return self.top_depression_rad + span * np.expm1(self.growth * row_fraction) / math.expm1(self.growth)

    def row_fraction(self, depression_rad: Tensor) -> Tensor:
        """Inverse of `depression`; below 0 or above 1 outside the strip."""
        span = self.bottom_depression_rad - self.top_depression_rad
        share = (depression_rad - self.top_depression_rad) / span
        return torch.log1p((share * math.expm1(self.growth)).clamp(min=-0.999)) / self.growth


@functools.lru_cache(maxsize=4)
def _level_directions(geometry: StripGeometry) -> Array:
    """Directions [H, S*W, 3] of the strip's rays, supersampled along the columns."""
    columns = geometry.width * _SUPERSAMPLING
    azimuth = ((np.arange(columns) + 0.5) / columns - 0.5) * 2 * math.pi
    depression = geometry.depression((np.arange(geometry.height) + 0.5) / geometry.height)
    return directions(azimuth[None, :], depression[:, None]).astype(np.float32)


def _averaged(rgb: Array, new_width: int, across: int, down: int) -> Array:
    seen = rgb[:, : new_width * across]
    if (across, down) == (2, 1):
        return _halved(seen)
    return np.asarray(cv2.resize(seen, (new_width, len(rgb) // down), interpolation=cv2.INTER_AREA))


def _halved(rgb: Array) -> Array:
    """Means of neighbours in each row: half-way between them, a linear function is their mean, and soon computed."""
    return np.asarray(cv2.resize(rgb, (rgb.shape[1] // 2, len(rgb)), interpolation=cv2.INTER_LINEAR))


def _reduced(image: GroundImage, geometry: StripGeometry) -> GroundImage:
    """Area-average a pinhole image along its rows (and mildly along columns) to the strip's sampling density."""
    height, width = image.rgb.shape[:2]
    assert image.camera is not None
    pixels_per_strip_column = image.camera.K[0, 0] * 2 * math.pi / (geometry.width * _SUPERSAMPLING)
    across = max(1, int(pixels_per_strip_column))
    down = max(1, int(pixels_per_strip_column / 4))
    if across == down == 1:
        return image
    new_width, new_height = width // across, height // down
    rgb = _averaged(image.rgb[: new_height * down], new_width, across, down)
    shift = np.array([[1 / across, 0, 0.5 / across - 0.5], [0, 1 / down, 0.5 / down - 0.5], [0, 0, 1.0]])
    camera = replace(image.camera, width=new_width, height=new_height, K=shift @ image.camera.K)
    return replace(image, rgb=rgb, camera=camera)


@dataclass(frozen=True, slots=True)
class _PanoramaView:
    """The rows of a panorama that rays meet, by how much they are averaged, and the rays' places in the result.

    Averaging takes most of the time, and most rows show sky or the vehicle. `places` are cv2.remap's two maps.
    """

    rows: slice
    across: int
    down: int
    places: tuple[Array, Array]


@functools.lru_cache(maxsize=4)
def _panorama_view(geometry: StripGeometry, height: int, width: int, R_level_camera: bytes) -> _PanoramaView:
    rotation = np.frombuffer(R_level_camera, np.float32).reshape(3, 3)
    across, down = max(1, width // (geometry.width * _SUPERSAMPLING)), max(1, height // 1024)
    new_width, new_height = width // across, height // down
    column, row = panorama_pixels(_level_directions(geometry) @ rotation, new_width, new_height)
    column, row = column - 0.5, row - 0.5
    first = min(max(int(row.min()) - 1, 0), new_height - _FEWEST_ROWS)
    last = max(min(int(row.max()) + 3, new_height), first + _FEWEST_ROWS)
    row = np.clip(row - first, 0, last - first - 1)
    places = cv2.convertMaps(column.astype(np.float32), row.astype(np.float32), cv2.CV_16SC2)
    return _PanoramaView(slice(first * down, last * down), across, down, places)


def _strip_of_panorama(rgb: Array, geometry: StripGeometry, R_level_camera: Array) -> Array:
    view = _panorama_view(geometry, *rgb.shape[:2], R_level_camera.astype(np.float32).tobytes())
    seen = _averaged(rgb[view.rows], rgb.shape[1] // view.across, view.across, view.down)
    return _halved(np.asarray(cv2.remap(seen, *view.places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)))


def ground_strip(image: GroundImage, geometry: StripGeometry) -> tuple[Array, Array]:
    """Warp any ground image to the strip: rgb [H, W, 3] uint8 and visible share [H, W] float32 in 0..1."""
    R_level_camera, _ = camera_in_level(image)
    if image.camera is None:
        everywhere = np.ones((geometry.height, geometry.width), np.float32)
        return _strip_of_panorama(image.rgb, geometry, R_level_camera), everywhere
    source = _reduced(image, geometry)
    rays = _level_directions(geometry) @ R_level_camera.astype(np.float32)
    column, row, visible = pixels_of_directions(source, rays)
    rgb = sample(source, column, row)
    rgb[~visible] = 0
    return _halved(rgb), _halved(visible.astype(np.float32))


def strip_coordinates(
    forward_m: Tensor, left_m: Tensor, height_m: Tensor, geometry: StripGeometry
) -> tuple[Tensor, Tensor]:
    """Ground points relative to the camera's foot to fractions (column, row) of the strip; row > 1 is too near."""
    azimuth = torch.atan2(-left_m, forward_m)
    depression = torch.atan2(height_m, torch.hypot(forward_m, left_m))
    return 0.5 + azimuth / (2 * math.pi), geometry.row_fraction(depression)
