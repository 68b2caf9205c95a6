# SPDX-License-Identifier: Apache-2.0
"""3x3 convolutions with fewer multiplications and the same answer, on maps with channels innermost [B, H, W, C].

`convolve` is Winograd's minimal filtering: tiles of 4 x 4 outputs from 36 products instead of 144 (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks"). `convolve_upsampled` convolves a nearest-neighbour enlargement
without making it: 9 products per input cell instead of 9 per enlarged cell.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.portable import is_portable

_TILE = 4
_WINDOW = _TILE + 2
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)  # near one: rounding stays close to that of a direct convolution
_WINDOWS_PER_KERNEL = 0.75  # bytes of transformed windows at a time, per byte of kernels: both stay in the caches
_BLOCK = 256  # output channels at a time: transformed kernels stay small enough for the allocator to keep


def _powers(count: int) -> np.ndarray:
    """Powers 0..count-1 of the interpolation points [6, count]; the last point is infinity."""
    return np.vstack([np.vander(_POINTS, count, increasing=True), np.eye(count)[-1]])


def _over_both_axes(matrix: np.ndarray) -> Tensor:
    return torch.from_numpy(np.kron(matrix, matrix)).float()


_FROM_WINDOW = _over_both_axes(np.linalg.inv(_powers(_WINDOW)).T)
_FROM_KERNEL = _over_both_axes(_powers(3))
_TO_TILE = _over_both_axes(_powers(_TILE).T)
_FIRST_SUM_LAST = _over_both_axes(np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, -1.0]]))


def _transformed(matrix: Tensor, weight: Tensor) -> Tensor:
    """Kernels [n, K, C] of the rows of `matrix` [n, 9], from weights [K, C, 3, 3]."""
    K, C = weight.shape[:2]
    return (matrix.to(weight) @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(-1, K, C)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, skip: int = 0) -> Tensor:
    """3x3 convolution [B, H - skip, W, K] of x [B, H, W, C] with zero padding, without its first `skip` (0, 1) rows.

    Gradients, accelerators, the portable form and other types than float32 get the library's convolution.
    """
    if is_portable() or torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)[:, skip:]
    B, H, W, C = x.shape
    height = H - skip
    down, across = -(-height // _TILE), -(-W // _TILE)
    padded = F.pad(x, (0, 0, 1, across * _TILE - W + 1, 1 - skip, down * _TILE - height + 1))
    windows = padded.unfold(1, _WINDOW, _TILE).unfold(2, _WINDOW, _TILE).permute(4, 5, 1, 0, 2, 3)
    blocks = -(-len(weight) // _BLOCK)
    kernels = [_transformed(_FROM_KERNEL, block).transpose(1, 2) for block in weight.chunk(blocks)]
    y = x.new_empty(B, down, _TILE, across, _TILE, len(weight))
    lines = max(1, round(_WINDOWS_PER_KERNEL * len(weight) / (B * across)))
    for top in range(0, down, lines):
        window = windows[:, :, top : top + lines]
        data = (_FROM_WINDOW @ window.reshape(_WINDOW**2, -1)).view(_WINDOW**2, -1, C)
        for kernel, block in zip(kernels, y[:, top : top + lines].chunk(blocks, dim=-1), strict=True):
            tiles = _TO_TILE @ torch.bmm(data, kernel).view(_WINDOW**2, -1)
            block.copy_(tiles.view(_TILE, _TILE, window.shape[2], B, across, -1).permute(3, 2, 0, 4, 1, 5))
    y = y.view(B, down * _TILE, across * _TILE, -1)[:, :height, :W]
    return y if bias is None else y.add_(bias)


def convolve_upsampled(x: Tensor, weight: Tensor, bias: Tensor | None, factor: int) -> Tensor:
    """3x3 convolution [B, fH, fW, K] of x [B, H, W, C] enlarged `factor` f >= 2 times (nearest), with zero padding.

    Along an axis an output sees its own cell through the sum of the taps; only the first (last) output of a cell also
    sees the neighbour before (after), through an edge tap acting on the difference between the two cells.
    """
    B, H, W, _ = x.shape
    taps = _transformed(_FIRST_SUM_LAST, weight).view(3, 3, len(weight), -1)
    vertical = -torch.diff(F.pad(x, (0, 0, 0, 0, 1, 1)), dim=1)
    horizontal = -torch.diff(F.pad(x, (0, 0, 1, 1)), dim=2)
    diagonal = -torch.diff(F.pad(vertical, (0, 0, 1, 1)), dim=2)
    lefts_and_rights = [F.linear(horizontal[:, :, j : j + W], taps[1, 2 * j]) for j in (0, 1)]

    def line(middle: Tensor, sides: list[Tensor]) -> Tensor:
        """One row of outputs per row of cells [B, H, W, f, K]."""
        return torch.stack([middle + sides[0], *[middle] * (factor - 2), middle + sides[1]], dim=3)

    def edge_line(i: int) -> Tensor:
        """The outputs that see the cells above (i = 0) or below (1)."""
        corners = [F.linear(diagonal[:, i : i + H, j : j + W], taps[2 * i, 2 * j]) for j in (0, 1)]
        sides = [side + corner for side, corner in zip(lefts_and_rights, corners, strict=True)]
        return line(own + F.linear(vertical[:, i : i + H], taps[2 * i, 1]), sides)

    own = F.linear(x, taps[1, 1], bias)
    inner = [line(own, lefts_and_rights)] * (factor - 2) if factor > 2 else []
    return torch.stack([edge_line(0), *inner, edge_line(1)], dim=2).view(B, H * factor, W * factor, -1)
