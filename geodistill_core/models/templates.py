# SPDX-License-Identifier: Apache-2.0
"""The overhead view of a ground image's features, cell by cell of the map: exact, or as the published code draws it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.geometry.resize import resize
from geodistill_core.models.base import GroundInput
from geodistill_core.models.exact_overhead import (
    lies_inside,
    panorama_pixels,
    pinhole_pixels,
    sample_bilinear,
    template_points,
)
from geodistill_core.models.overhead_features import Level, OverheadGround
from geodistill_core.models.portable import is_portable
from geodistill_core.models.published_overhead import panorama_uv, pinhole_uv
from geodistill_core.models.sampling import sample_published


def exact_template(
    ground: OverheadGround, number: int, level: Level, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
) -> tuple[Tensor, Tensor]:
    """Features [B, Y, C, k, k] and confidence [B, Y, k, k], zero where no camera saw, for yaws [B, Y]."""
    column, row, seen = exact_pixels(ground.source, level, yaw_enu_rad, metres_per_pixel)
    row = row - ground.first_row[number]
    features, confidence = ground.features[number], ground.confidence[number]
    if confidence is None:
        return sample_bilinear(features, column, row), seen
    volume = sample_bilinear(torch.cat([features, confidence], dim=1), column, row)
    return volume[:, :, :-1], volume[:, :, -1] * seen


def exact_pixels(
    source: GroundInput, level: Level, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Feature coordinates (column, row) of the template's cells, and how much of each was seen, all [B, Y, k, k]."""
    size = (source.pixels.shape[-2], source.pixels.shape[-1])
    height = source.mount[:, 2].view(-1, 1, 1, 1)
    forward, left = template_points(level.template, level.map_stride * metres_per_pixel, yaw_enu_rad, source.mount)
    if source.intrinsics is None:
        column, row = panorama_pixels(forward, left, height, size)
    else:
        column, row = pinhole_pixels(forward, left, height, source.intrinsics)
    seen = lies_inside(column, row, size).float()
    if is_portable() or not bool(source.visible.all()):
        seen = seen * sample_bilinear(source.visible.unsqueeze(1), column, row)[:, :, 0]
    column, row = level.ground.index(column, row)
    return column, row, seen


def published_template(
    ground: OverheadGround, number: int, level: Level, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Features [B, Y, C, k, k] and confidence [B, Y, k, k]; None where the correlation weighs every cell by one.

    The published masks weigh features and confidence alike, before the correlation squares the latter.
    """
    features, confidence = ground.features[number], ground.confidence[number]
    mask = _published_mask(ground, number, level)
    volume = torch.cat([x for x in (features, confidence, mask) if x is not None], dim=1)
    uv, seen = published_pixels(ground.source, level, yaw_enu_rad, metres_per_pixel)
    laid = sample_published(volume, uv - uv.new_tensor([0.0, ground.first_row[number]]))
    laid = (laid if seen is None else laid * seen.unsqueeze(1)).transpose(1, 2)
    channels = features.shape[1]
    template, weight = laid[:, :, :channels], None if confidence is None else laid[:, :, channels]
    if mask is None:
        return template, weight
    projected = laid[:, :, -1]
    if is_portable():  # where all is visible, no cell is weighed by what was projected to it
        projected = torch.where(ground.source.visible.amin() >= 1.0, 1.0, projected)
    return template * projected.unsqueeze(2), projected if weight is None else weight * projected


def _published_mask(ground: OverheadGround, number: int, level: Level) -> Tensor | None:
    """Visible pixels at feature size [B, 1, h, w] from `first_row` on; a panorama's stays 0 or 1."""
    visible = ground.source.visible
    if is_portable():
        return _portable_mask(ground, number, level)
    if bool(visible.all()):
        return None
    masks = visible.round().byte() if ground.source.intrinsics is None else visible
    resized = [resize(mask, *level.ground_size, "opencv") for mask in masks.cpu().numpy()]
    return torch.from_numpy(np.stack(resized)).to(visible).unsqueeze(1)[..., ground.first_row[number] :, :]


def _portable_mask(ground: OverheadGround, number: int, level: Level) -> Tensor:
    """The same mask without OpenCV, which resizes like this up to rounding."""
    visible, panoramic = ground.source.visible.unsqueeze(1), ground.source.intrinsics is None
    masks = F.interpolate(visible.round() if panoramic else visible, level.ground_size, mode="bilinear")
    masks = (masks + 0.5).floor() if panoramic else masks
    return masks[..., ground.first_row[number] :, :]


def published_pixels(
    source: GroundInput, level: Level, yaw: Tensor, metres_per_pixel: Tensor, *, within_image: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Feature coordinates [B, Y, k, k, 2] of the template's cells, and for pinhole images which are visible.

    `within_image` False takes every cell in front of a pinhole camera for visible.
    """
    metres_per_cell = (level.drawn_stride * metres_per_pixel).view(-1, 1)
    height = source.mount[:, 2:3]
    if source.intrinsics is not None:
        return pinhole_uv(
            level.drawn_cells,
            metres_per_cell,
            level.ground_size,
            source.intrinsics.unsqueeze(1),
            (source.pixels.shape[-2], source.pixels.shape[-1]),
            height_m=height,
            heading_rad=yaw,
            shift_m=(source.mount[:, 0:1], source.mount[:, 1:2]),
            crop=level.template,
            within_image=within_image,
        )
    east, north = _camera_offset(source.mount, yaw)
    quarter = metres_per_cell * (level.drawn_cells / 4)
    uv = panorama_uv(
        level.drawn_cells,
        metres_per_cell,
        level.ground_size,
        height_m=height,
        rotation_rad=yaw - math.pi / 2,
        shift=(0.0, 0.0) if isinstance(east, float) else (east / quarter, -north / quarter),
        crop=level.template,
    )
    return uv, None


def _camera_offset(mount: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor] | tuple[float, float]:
    """Camera east and north of the base [B, Y]; plain zeros where it stands above it, so that grids stay cached."""
    if not (is_portable() or bool(mount[:, :2].any())):
        return 0.0, 0.0
    c, s = torch.cos(yaw), torch.sin(yaw)
    forward, left = mount[:, 0:1], mount[:, 1:2]
    return c * forward - s * left, s * forward + c * left
