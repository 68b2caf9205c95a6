# SPDX-License-Identifier: Apache-2.0
"""Bilinear samplers: of an image's features at the cells of several hypotheses, and the published one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.portable import is_portable


def sample_hypotheses(volume: Tensor, grid: Tensor, padding_mode: str) -> Tensor:
    """Samples [B, Y, C, k, k] of each image's `volume` [B, C, h, w] at the grids [B, Y, k, k, 2] of its hypotheses.

    `grid` and `padding_mode` as in `torch.nn.functional.grid_sample`, with `align_corners` False. The hypotheses of a
    single image are entries of a batch, which threads share; engines would copy the volume for each.
    """
    B, Y, k, _, _ = grid.shape
    if B == 1 and not is_portable():
        batch = volume.expand(Y, -1, -1, -1)
        return F.grid_sample(batch, grid[0], "bilinear", padding_mode, align_corners=False).unsqueeze(0)
    found = F.grid_sample(volume, grid.flatten(1, 2), "bilinear", padding_mode, align_corners=False)
    return found.view(B, -1, Y, k, k).transpose(1, 2)


def sample_published(features: Tensor, uv: Tensor) -> Tensor:
    """Features [B, C, H, W] at pixels uv [B, *S, 2] (column, row; pixel centres at integers): [B, C, *S].

    The sampler of GeoDistill, G2SWeakly and GGCVT: absolute pixel coordinates, zero outside, no seam.
    Bilinear within 0 <= column <= W-1 and 0 <= row <= H-1, zero elsewhere and where a coordinate is not finite. Exactly
    on the last column or row both weights of that axis are zero, as in the published code, so the value there is zero.
    Differentiable in features and uv. The answer's channels lie innermost in memory.
    """
    B, C, H, W = features.shape
    column, row = uv.unbind(-1)
    inside = (column >= 0) & (column <= W - 1) & (row >= 0) & (row <= H - 1)
    column, row = column.where(inside, column.new_zeros(())), row.where(inside, row.new_zeros(()))
    left, top = column.floor(), row.floor()
    right, bottom = (left + 1).clamp(max=W - 1), (top + 1).clamp(max=H - 1)
    to_left, to_top = (right - column) * inside, bottom - row
    to_right, to_bottom = column - left, row - top
    weights = torch.stack([to_left * to_top, to_right * to_top, to_left * to_bottom, to_right * to_bottom], dim=-1)
    sample = torch.arange(B, device=uv.device, dtype=torch.int32).view(-1, *[1] * (uv.dim() - 2)) * (H * W)
    upper, lower = sample + (top * W).int(), sample + (bottom * W).int()
    left_index, right_index = left.int(), right.int()
    corners = [upper + left_index, upper + right_index, lower + left_index, lower + right_index]
    rows = features.permute(0, 2, 3, 1).contiguous().view(B * H * W, C)
    index, share = torch.stack(corners, dim=-1).view(-1, 4), weights.view(-1, 4).to(rows.dtype)
    if is_portable():
        picked = (rows[index.flatten()].view(-1, 4, C) * share.unsqueeze(-1)).sum(dim=1)
    else:
        picked = F.embedding_bag(index, rows, per_sample_weights=share, mode="sum")
    return picked.view(*uv.shape[:-1], C).movedim(-1, 1)
