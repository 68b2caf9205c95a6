# SPDX-License-Identifier: Apache-2.0
"""Exact ground-plane geometry of a template: which feature of the ground view shows each cell of the map.

Every coordinate is an index with pixel centres at integers; image and feature grids are related by their edges
(`FeatureCells`), so there is no half-pixel bias anywhere, and cells that the camera does not show are told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geodistill_core.models.sampling import sample_hypotheses

_IN_FRONT_M = 1e-3


@dataclass(frozen=True, slots=True)
class FeatureCells:
    """How feature cells lie on an image: `stride` pixels wide, beginning `pad_left`, `pad_top` pixels outside it."""

    stride: float
    pad_left: float = 0.0
    pad_top: float = 0.0

    def index(self, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Image index coordinates to feature index coordinates."""
        return (
            (column + 0.5 + self.pad_left) / self.stride - 0.5,
            (row + 0.5 + self.pad_top) / self.stride - 0.5,
        )


def template_points(cells: int, metres_per_cell: Tensor, yaw_enu_rad: Tensor, mount: Tensor) -> tuple[Tensor, Tensor]:
    """Forward and left (m) of each cell centre [B, Y, k, k] from the camera's foot, for a template around the base.

    `metres_per_cell` [B], `yaw_enu_rad` [B, Y], `mount` [B, 3] (forward, left, height).
    """
    axis = torch.arange(cells, dtype=torch.float32, device=mount.device) - (cells - 1) / 2
    scale = metres_per_cell.view(-1, 1, 1, 1)
    east, north = axis.view(1, 1, 1, -1) * scale, -axis.view(1, 1, -1, 1) * scale
    c, s = torch.cos(yaw_enu_rad)[..., None, None], torch.sin(yaw_enu_rad)[..., None, None]
    forward = c * east + s * north - mount[:, 0].view(-1, 1, 1, 1)
    return forward, c * north - s * east - mount[:, 1].view(-1, 1, 1, 1)


def panorama_pixels(forward: Tensor, left: Tensor, height: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Ground points to index coordinates (column, row) of a panorama of `size` (H, W) whose centre is the heading."""
    azimuth = torch.atan2(-left, forward)
    depression = torch.atan2(height, torch.hypot(forward, left))
    return (
        size[1] * (0.5 + azimuth / (2 * math.pi)) - 0.5,
        size[0] * (0.5 + depression / math.pi) - 0.5,
    )


def pinhole_pixels(forward: Tensor, left: Tensor, height: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Ground points to index coordinates of a level forward-looking camera `K` [B, 3, 3]; infinite where behind it.

    Differentiable in the points, with no gradient behind the camera.
    """
    in_front = forward > _IN_FRONT_M
    depth = torch.where(in_front, forward, 1.0)
    fx, fy, cx, cy = (K[:, r, c].view(-1, 1, 1, 1) for r, c in ((0, 0), (1, 1), (0, 2), (1, 2)))
    column, row = cx - fx * left / depth, cy + fy * height / depth
    return torch.where(in_front, column, torch.inf), torch.where(in_front, row, torch.inf)


def lies_inside(column: Tensor, row: Tensor, size: tuple[int, int]) -> Tensor:
    """Whether index coordinates lie on an image of `size` (H, W), pixel borders included."""
    inside = (column >= -0.5) & (column <= size[1] - 0.5) & (row >= -0.5) & (row <= size[0] - 0.5)
    return torch.as_tensor(inside)


def sample_bilinear(volume: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Bilinear samples [B, Y, C, k, k] of `volume` [B, C, h, w] at index coordinates [B, Y, k, k]; edges extend."""
    h, w = volume.shape[-2:]
    grid = torch.stack([(column + 0.5) / w * 2 - 1, (row + 0.5) / h * 2 - 1], dim=-1).clamp(-2.0, 2.0)
    return sample_hypotheses(volume, grid, "border")
