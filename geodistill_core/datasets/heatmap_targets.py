# SPDX-License-Identifier: Apache-2.0
"""Dense targets of CCVPE: a Gaussian at the camera, spread over heading channels, and the heading at every pixel.

`compat` lays the Gaussian on 512 points from -256 to 256 with both ends included, as the published code does, so its
peak lies up to a pixel towards the north-west; `corrected` evaluates it at pixel centres. Heading angles are CCVPE's:
degrees from north, counter-clockwise on VIGOR, clockwise on KITTI (90 - the angle by which its tile was turned left).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

MAP_SIZE_PX = 512
POOLS = (64, 32, 16, 8, 4, 2)
"""Max-pooling factors from the full heat map to the six matching levels of 8 to 256 cells."""


def gaussian(
    south_px: float,
    east_px: float,
    *,
    size: int = MAP_SIZE_PX,
    sigma_px: float = 4.0,
    geometry: Literal["compat", "corrected"] = "corrected",
) -> Tensor:
    """exp(-d^2 / (2 sigma^2)) [size, size] around a camera that far from the tile's centre; its peak is 1, not its sum.

    Source: published code; south = round(0.8 * row offset), east = -round(0.8 * column offset) of VIGOR's labels.
    """
    half = size / 2
    if geometry == "compat":
        axis = torch.linspace(-half, half, size, dtype=torch.float64)
    else:
        axis = torch.arange(size, dtype=torch.float64) + 0.5 - half
    row, column = (axis - south_px).square(), (axis - east_px).square()
    return torch.exp(-(row[:, None] + column[None, :]) / (2 * sigma_px**2)).float()


def kitti_offset_px(
    right_px: float,
    up_px: float,
    rotation_rad: float,
    *,
    geometry: Literal["compat", "corrected"] = "corrected",
) -> tuple[float, float]:
    """(south, east) in pixels of a camera right and up of the tile's centre once the tile has turned left.

    The published code cuts both numbers to whole pixels towards zero (`compat`).
    """
    c, s = math.cos(rotation_rad), math.sin(rotation_rad)
    south, east = -(right_px * s + up_px * c), right_px * c - up_px * s
    return (float(int(south)), float(int(east))) if geometry == "compat" else (south, east)


def heading_volume(heatmap: Tensor, angle_deg: float, channels: int) -> Tensor:
    """The heat map [H, W] shared between the two heading channels beside the angle: [channels, H, W].

    Channel k stands for the angle -k * 360 / channels, any multiple of 360 added.
    """
    steps = (angle_deg % 360.0) * channels / 360.0
    index, share = int(steps), steps - int(steps)
    volume = heatmap.new_zeros(channels, *heatmap.shape)
    volume[-index % channels] = (1 - share) * heatmap
    volume[(-index - 1) % channels] = share * heatmap
    return volume


def orientation_map(angle_deg: float, size: int = MAP_SIZE_PX) -> Tensor:
    """(cosine, sine) of the heading at every pixel, [2, size, size]."""
    angle = math.radians(angle_deg)
    return torch.tensor([math.cos(angle), math.sin(angle)]).view(2, 1, 1).expand(2, size, size).contiguous()


def pooled_targets(volume: Tensor, pools: Sequence[int] = POOLS) -> list[Tensor]:
    """Targets [B, K, H, W] of each matching level by max-pooling; sums are not restored, as published."""
    return [F.max_pool2d(volume, pool) for pool in pools]
