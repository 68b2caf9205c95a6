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

from geodistill_core.geometry.ground_plane import camera_in_level, directions, pixels_of_directions, sample
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


def _seen_of_panorama(
    image: GroundImage, rays: Array, geometry: StripGeometry
) -> tuple[GroundImage, Array, Array, Array]:
    """The rows of a panorama that rays meet, averaged as `_reduced` does, and the rays' places in them.

    Averaging takes most of the time, and most rows show sky or the vehicle.
    """
    height, width = image.rgb.shape[:2]
    across, down = max(1, width // (geometry.width * _SUPERSAMPLING)), max(1, height // 1024)
    new_width, new_height = width // across, height // down
    whole = replace(image, rgb=np.broadcast_to(np.uint8(0), (new_height, new_width, 3)))
    column, row, visible = pixels_of_directions(whole, rays)
    first = min(max(int(row.min()) - 1, 0), new_height - _FEWEST_ROWS)
    last = max(min(int(row.max()) + 3, new_height), first + _FEWEST_ROWS)
    seen = _averaged(image.rgb[first * down : last * down], new_width, across, down)
    return replace(image, rgb=seen), column, row - first, visible


def ground_strip(image: GroundImage, geometry: StripGeometry) -> tuple[Array, Array]:
    """Warp any ground image to the strip: rgb [H, W, 3] uint8 and visible share [H, W] float32 in 0..1."""
    R_level_camera, _ = camera_in_level(image)
    rays = _level_directions(geometry) @ R_level_camera.astype(np.float32)
    if image.camera is None:
        source, column, row, visible = _seen_of_panorama(image, rays, geometry)
    else:
        source = _reduced(image, geometry)
        column, row, visible = pixels_of_directions(source, rays)
    rgb = sample(source, column, row)
    if image.camera is None:
        return _halved(rgb), np.ones((geometry.height, geometry.width), np.float32)
    rgb[~visible] = 0
    return _halved(rgb), _halved(visible.astype(np.float32))


def strip_coordinates(
    forward_m: Tensor, left_m: Tensor, height_m: Tensor, geometry: StripGeometry
) -> tuple[Tensor, Tensor]:
    """Ground points relative to the camera's foot to fractions (column, row) of the strip; row > 1 is too near."""
    azimuth = torch.atan2(-left_m, forward_m)
    depression = torch.atan2(height_m, torch.hypot(forward_m, left_m))
    return 0.5 + azimuth / (2 * math.pi), geometry.row_fraction(depression)
