# SPDX-License-Identifier: Apache-2.0
"""Winograd's minimal filtering: 2 x 2 outputs of an r x r convolution for (r + 1)^2 products instead of 4 r^2.

Pays where channels are many and pixels are few; with tiles of two the sums are no less exact than the direct ones.
Source: Lavin and Gray, Fast algorithms for convolutional neural networks.
"""

from __future__ import annotations

import torch
from torch import Tensor

# kernel -> (of inputs [r + 1, r + 1], of filters [r + 1, r], of outputs [2, r + 1])
_Matrix = list[list[float]]
_TRANSFORMS: dict[int, tuple[_Matrix, _Matrix, _Matrix]] = {
    3: (
        [[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
        [[1.0, 1, 1, 0], [0, 1, -1, -1]],
    ),
    2: (
        [[1.0, -1, 0], [0, 1, 0], [0, -1, 1]],
        [[1.0, 0], [1, 1], [0, 1]],
        [[1.0, 1, 0], [0, 1, 1]],
    ),
}


def _pairs(matrix: _Matrix, like: Tensor) -> Tensor:
    one = torch.tensor(matrix, device=like.device, dtype=like.dtype)
    return torch.kron(one, one)


def filters(weight: Tensor) -> Tensor:
    """Weights [out, in, r, r] (r = 2 or 3) as `convolve` takes them: [(r + 1)^2, in, out]."""
    out, channels, r, _ = weight.shape
    spread = _pairs(_TRANSFORMS[r][1], weight) @ weight.permute(2, 3, 1, 0).reshape(r * r, channels * out)
    return spread.view(-1, channels, out)


def convolve(x: Tensor, spread: Tensor, bias: Tensor | None = None) -> Tensor:
    """[B, H, W, in] to [B, H - r + 1, W - r + 1, out] without padding; both output sides are even."""
    tile = 4 if len(spread) == 16 else 3
    inputs, _, outputs = _TRANSFORMS[tile - 1]
    tiles = x.unfold(1, tile, 2).unfold(2, tile, 2)
    B, rows, columns = tiles.shape[:3]
    gathered = tiles.permute(4, 5, 0, 1, 2, 3).reshape(tile * tile, -1)
    products = torch.bmm((_pairs(inputs, x) @ gathered).view(tile * tile, -1, x.shape[3]), spread)
    y = (_pairs(outputs, x) @ products.view(tile * tile, -1)).view(2, 2, B, rows, columns, -1)
    y = y.permute(2, 3, 0, 4, 1, 5).reshape(B, 2 * rows, 2 * columns, -1)
    return y if bias is None else y.add_(bias)
