# SPDX-License-Identifier: Apache-2.0
"""The eight symmetries of the square, and their inverses."""

from __future__ import annotations

import torch
from torch import Tensor


def turn(x: Tensor, symmetry: int) -> Tensor:
    """A symmetry of the square on the last two axes: `symmetry % 4` quarter turns, then a flip from 4 on."""
    turned = torch.rot90(x, symmetry % 4, dims=(-2, -1))
    return turned.flip(-1) if symmetry >= 4 else turned


def turn_back(x: Tensor, symmetry: int) -> Tensor:
    """Inverse of `turn`."""
    unflipped = x.flip(-1) if symmetry >= 4 else x
    return torch.rot90(unflipped, -(symmetry % 4), dims=(-2, -1))
