# SPDX-License-Identifier: Apache-2.0
"""A ground image as an overhead picture, north up, for networks that compare it with a tile as it is.

Published code: a perspective camera at the panorama's centre looks straight down (170 degrees wide). The exact view
draws flat ground at the tile's own metres per pixel around the base.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.geometry.ground_plane import overhead_view
from geodistill_core.types import Array, GroundImage

PUBLISHED_PANORAMA = (320, 640)
PUBLISHED_FOV_RAD = math.radians(170.0)
_EXACT_PANORAMA_COLUMNS = 1024


def focal_px(size: int, fov_rad: float = PUBLISHED_FOV_RAD) -> float:
    """Focal length of a picture `size` pixels and `fov_rad` wide; camera height / focal is metres per pixel."""
    # A tangent this close to 90 degrees differs in float32, in which the published grids were made.
    return float(size / 2 / torch.tan(torch.tensor(fov_rad / 2, dtype=torch.float32)))


def _turn(dx: float, dy: float, panorama_size: tuple[int, int]) -> Tensor:
    """Rx(2 pi dx / W) Ry(-pi dy / H), 3x3: dx, dy are panorama pixels."""
    height, width = panorama_size
    a, b = 2 * math.pi * dx / width, -math.pi * dy / height
    about_x = [[1.0, 0.0, 0.0], [0.0, math.cos(a), -math.sin(a)], [0.0, math.sin(a), math.cos(a)]]
    about_y = [[math.cos(b), 0.0, math.sin(b)], [0.0, 1.0, 0.0], [-math.sin(b), 0.0, math.cos(b)]]
    return torch.tensor(about_x) @ torch.tensor(about_y)


@functools.lru_cache(maxsize=4)
def published_grid(
    size: int,
    fov_rad: float = PUBLISHED_FOV_RAD,
    dx: float = 0.0,
    dy: float = 0.0,
    panorama_size: tuple[int, int] = PUBLISHED_PANORAMA,
) -> Tensor:
    """Panorama coordinates [size, size, 2] (column, row in -1..1) of a nadir camera's pixels.

    North is up. The optical centre is pixel index size/2, half a pixel south-east of the picture's centre. `dx`, `dy`
    tilt the camera by the inverse of Rx(2 pi dx / W) Ry(-pi dy / H).
    """
    axis = size / 2 - torch.arange(size, dtype=torch.float32)
    north, west = torch.meshgrid(axis, axis, indexing="ij")
    rays = torch.stack([north, west, torch.full_like(north, -focal_px(size, fov_rad))], dim=-1)
    if dx or dy:
        rays = rays @ _turn(dx, dy, panorama_size)
    x, y, z = rays.movedim(-1, 0).contiguous()
    from_nadir = torch.atan2(z, torch.sqrt(x * x + y * y)) + math.pi / 2
    around = torch.atan2(y, x) + math.pi
    return torch.stack([2 * (1 - around / (2 * math.pi)) - 1, 2 * (1 - from_nadir / math.pi) - 1], dim=-1)


def to_two_to_one(rgb: Array, shift_px: float = 0.0) -> Array:
    """The panorama [H, W, 3] centred on a black one of W/2 rows, moved down by `shift_px` (published code)."""
    height, width = rgb.shape[:2]
    down = (width / 2 - height) / 2 + shift_px
    if down == 0.0:
        return rgb
    move = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, down], [0.0, 0.0, 1.0]])
    return np.asarray(cv2.warpPerspective(rgb, move, (width, width // 2)))


def published_bev(rgb: Array, grid: Tensor, shift_px: float = 0.0) -> Tensor:
    """A panorama [H, W, 3] uint8 through a grid [S, S, 2]: [3, S, S] float32 in 0..255, zero outside (published)."""
    pixels = torch.from_numpy(np.ascontiguousarray(to_two_to_one(rgb, shift_px))).permute(2, 0, 1).unsqueeze(0)
    found = F.grid_sample(pixels.float(), grid.unsqueeze(0), mode="bilinear", padding_mode="zeros", align_corners=True)
    return found[0]


def published_bev_uint8(rgb: Array, size: int = 512) -> Array:
    """The overhead picture [S, S, 3] as the published data set stores it: fractions of a grey level are cut off."""
    found = published_bev(rgb, published_grid(size)).clamp(0, 255)
    return found.permute(1, 2, 0).byte().contiguous().numpy()


def published_roll(rgb: Array, turn_rad: float) -> Array:
    """The panorama as seen from a heading `turn_rad` further counter-clockwise, to whole columns towards zero."""
    return np.roll(rgb, math.trunc(turn_rad / (2 * math.pi) * rgb.shape[1]), axis=1)


def published_view(image: GroundImage, reference_yaw_enu_rad: float, size: int = 512) -> tuple[Array, Array]:
    """`exact_view` with the published picture of a panorama: 170 degrees wide, whole columns, level camera."""
    if image.camera is not None:
        return exact_view(image, reference_yaw_enu_rad, image.height_m / focal_px(size), size)
    height, width = PUBLISHED_PANORAMA
    panorama = cv2.resize(image.rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    northward = published_roll(panorama, -(reference_yaw_enu_rad - math.pi / 2))
    return published_bev_uint8(northward, size), np.ones((size, size), dtype=bool)


def exact_view(
    image: GroundImage, reference_yaw_enu_rad: float, metres_per_pixel: float, size: int = 512
) -> tuple[Array, Array]:
    """Flat ground around the base [S, S, 3] uint8, north up if the heading is the reference, and where it was seen.

    A panorama's columns are averaged down first: close by, they are much finer than the picture's pixels.
    """
    height, width = image.rgb.shape[:2]
    if image.camera is None and width > _EXACT_PANORAMA_COLUMNS:
        narrow = cv2.resize(image.rgb, (_EXACT_PANORAMA_COLUMNS, height), interpolation=cv2.INTER_AREA)
        image = replace(image, rgb=narrow)
    return overhead_view(image, size / 2 * metres_per_pixel, metres_per_pixel, reference_yaw_enu_rad)
