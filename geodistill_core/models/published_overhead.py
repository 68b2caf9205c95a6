# SPDX-License-Identifier: Apache-2.0
"""Where the cells of an overhead grid appear in a ground image, by the published conventions.

Flat ground below the camera. Grids are north-up; `metres_per_cell`, heights, angles and shifts are numbers or tensors
that broadcast over leading axes *L. `crop` asks for the central cells only. What does not depend on those arguments is
computed once.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from geodistill_core.models.portable import is_portable

Scalars = float | Tensor
"""One number for all, or a tensor of numbers over leading axes."""

KITTI_METRES_PER_PIXEL = 156543.03392 * math.cos(math.radians(49.015)) / 2**19
"""Of the published KITTI tiles, at whichever latitude they lie."""

_IN_FRONT_M = 1e-6


def crop_start(size: int, cells: int) -> int:
    """First index of the central `cells` of `size` (published code: half a cell rounds to even)."""
    return round((size - cells) / 2)


def center_crop(x: Tensor, cells: int) -> Tensor:
    """The central cells x cells of x [..., H, W]."""
    top, left = crop_start(x.shape[-2], cells), crop_start(x.shape[-1], cells)
    return x[..., top : top + cells, left : left + cells]


def panorama_uv(
    cells: int,
    metres_per_cell: Scalars,
    size: tuple[int, int],
    *,
    height_m: Scalars = 2.0,
    rotation_rad: Scalars = 0.0,
    shift: tuple[Scalars, Scalars] = (0.0, 0.0),
    crop: int | None = None,
) -> Tensor:
    """Pixels [*L, k, k, 2] (column, row) of a cells x cells grid in a panorama of `size` (H, W) (G2SWeakly, section 3).

    The panorama's centre column faces north; `rotation_rad` turns it to face that much further counter-clockwise, so a
    camera with heading `yaw_enu_rad` needs yaw - pi/2. `shift` (east, south) moves the camera from the grid's centre,
    in quarters of the grid. The row of the nadir is H, outside the image.
    """
    device = _device(metres_per_cell, height_m, rotation_rad, *shift)
    east, south = shift
    if isinstance(east, Tensor) or isinstance(south, Tensor):
        turn, distance = _bearings(cells, crop, _over_cells(east), _over_cells(south), device)
    else:
        turn, distance = _cached_bearings(cells, crop, east, south, device)
    height, width = size
    if isinstance(rotation_rad, Tensor) or rotation_rad != 0.0:
        turn = turn + _over_cells(rotation_rad) / (2 * math.pi)
        turn = turn - turn.floor()
    ground_m = distance * _over_cells(metres_per_cell)
    row = torch.atan2(ground_m, torch.zeros_like(ground_m) - _over_cells(height_m)) * (height / math.pi)
    return _pixels(turn * width, row)


def inplane_uv(
    cells: int, *, rotation_rad: Scalars = 0.0, shift: tuple[Scalars, Scalars] = (0.0, 0.0), crop: int | None = None
) -> Tensor:
    """Pixels [*L, k, k, 2] of an overhead grid in another of the same size that is shifted, then rotated.

    Published code of G2SWeakly: `shift` (east, south) in quarters of the grid; the pivot is cells/2, not (cells-1)/2.
    """
    device = _device(rotation_rad, *shift)
    index = _cell_indices(cells, crop, device)
    x = index - cells / 2 - _over_cells(shift[0]) * (cells / 4)
    y = index.unsqueeze(-1) - cells / 2 - _over_cells(shift[1]) * (cells / 4)
    angle = torch.as_tensor(rotation_rad, dtype=index.dtype, device=device)[..., None, None]
    c, s = torch.cos(angle), torch.sin(angle)
    return _pixels(c * x - s * y, s * x + c * y) + cells / 2


def pinhole_uv(
    cells: int,
    metres_per_cell: Scalars,
    size: tuple[int, int],
    intrinsics: Tensor,
    image_size: tuple[int, int] = (256, 1024),
    *,
    height_m: Scalars = 1.65,
    heading_rad: Scalars = 0.0,
    shift_m: tuple[Scalars, Scalars] = (0.0, 0.0),
    crop: int | None = None,
    within_image: bool = True,
) -> tuple[Tensor, Tensor]:
    """Pixels [*L, k, k, 2] of a cells x cells grid in a forward-looking camera, and which cells it sees [*L, k, k].

    Published KITTI code: the grid's origin is cell cells//2, `heading_rad` is counter-clockwise from east (grid right),
    `shift_m` (forward, left) moves the camera from the origin, `height_m` is its height. `intrinsics` [*L, 3, 3] hold
    for an image of `image_size` (H, W) and are scaled to feature maps of `size` without half-pixel terms. Unseen cells
    have pixel (0, 0). `within_image` False (GGCVT) counts every cell in front of the camera as seen, and leaves the
    others' projections divided by a micrometre instead of their depth, far outside the image.
    """
    device = intrinsics.device
    (height, width), (image_height, image_width) = size, image_size
    offset = _cell_indices(cells, crop, device) - cells // 2
    east_m = offset * _over_cells(metres_per_cell)
    south_m = offset.unsqueeze(-1) * _over_cells(metres_per_cell)
    heading = torch.as_tensor(heading_rad, dtype=offset.dtype, device=device)[..., None, None]
    c, s = torch.cos(heading), torch.sin(heading)
    right_m = (c * south_m + _over_cells(shift_m[1])) + s * east_m
    ahead_m = (c * east_m - _over_cells(shift_m[0])) - s * south_m
    in_front = ahead_m > _IN_FRONT_M
    inverse = ahead_m.clamp(min=_IN_FRONT_M).reciprocal()
    camera = intrinsics[..., None, None]
    fx, cx = camera[..., 0, 0, :, :] * (width / image_width), camera[..., 0, 2, :, :] * (width / image_width)
    fy, cy = camera[..., 1, 1, :, :] * (height / image_height), camera[..., 1, 2, :, :] * (height / image_height)
    column = (fx * right_m + cx * ahead_m) * inverse
    row = (fy * _over_cells(height_m) + cy * ahead_m) * inverse
    pixels = _pixels(column, row)
    if not within_image:
        return pixels, in_front.expand(pixels.shape[:-1])
    seen = in_front & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen = seen.expand(pixels.shape[:-1])
    return pixels * seen.unsqueeze(-1), seen


def _over_cells(value: Scalars) -> Scalars:
    return value[..., None, None] if isinstance(value, Tensor) else value


def _device(*values: Scalars) -> torch.device:
    return next((value.device for value in values if isinstance(value, Tensor)), torch.device("cpu"))


def _pixels(column: Tensor, row: Tensor) -> Tensor:
    shape = torch.broadcast_shapes(column.shape, row.shape)  # type: ignore[no-untyped-call]
    return torch.stack([column.expand(shape), row.expand(shape)], dim=-1)


def _cell_indices(cells: int, crop: int | None, device: torch.device) -> Tensor:
    start = 0 if crop is None else crop_start(cells, crop)
    return torch.arange(start, start + (crop or cells), dtype=torch.float32, device=device)


def _bearings(
    cells: int, crop: int | None, east: Scalars, south: Scalars, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Each cell's azimuth from the camera as a share of a turn clockwise from south, and its distance in cells.

    The azimuth is rounded step by step as in the published code: on the grid's diagonals rounding alone decides
    between two columns, and GGCVT attends to the one it picks.
    """
    index = _cell_indices(cells, crop, device)
    index = index if is_portable() else index.double()
    centre = cells / 2 - 0.5
    x = index - centre - east * (cells / 4)
    y = index.unsqueeze(-1) - centre - south * (cells / 4)
    azimuth = torch.remainder(torch.atan2(y.float(), x.float()), 2 * math.pi)
    turn = torch.remainder(azimuth - math.pi / 2, 2 * math.pi) / (2 * math.pi)
    return turn, torch.hypot(x, y).float()


@lru_cache(maxsize=64)
def _cached_bearings(
    cells: int, crop: int | None, east: float, south: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The same of the whole grid, then cropped: vectorised and scalar arc tangents differ in their last bit."""
    with torch.inference_mode(False):  # tensors made in inference mode could not serve training later
        turn, distance = _bearings(cells, None, east, south, device)
        return (turn, distance) if crop is None else (center_crop(turn, crop), center_crop(distance, crop))
