# SPDX-License-Identifier: Apache-2.0
"""Heat maps and their targets at several resolutions, coarse to fine."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.overhead_matching import OverheadMatcher

POOLS = (8, 4, 2, 1)
"""A network of one level is seen through windows of so many cells, coarse to fine."""
INVALID = -1e4
"""Stands for -inf where gradients must stay finite."""


def level_cells_m(network: AnyNetwork, metres_per_pixel: Tensor) -> list[Tensor]:
    """Width [B] of a heat map's cell at every level of a network, coarse to fine, for tiles of that scale [B]."""
    if isinstance(network, OverheadMatcher):
        return [network.level(number).map_stride * metres_per_pixel for number in network.levels]
    return [network.metres_per_cell / network.metres_per_pixel * metres_per_pixel]


def gaussian_mass(size: int, place_cells: Tensor, sigma_cells: Tensor) -> Tensor:
    """Mass [B, size, size] of a Gaussian in every cell; sums to one.

    `place_cells` [B, 2] is (columns east, rows south) from the grid's centre, `sigma_cells` [B]. A Gaussian narrower
    than a cell is shared between neighbours as its mass falls, and one beyond the border goes to the nearest cells.
    """
    half = size / 2
    edge = torch.arange(size + 1, device=place_cells.device, dtype=place_cells.dtype) - half
    at = place_cells.clamp(-half + 0.5, half - 0.5)
    below = 0.5 * (1 + torch.erf((edge - at[..., None]) / (sigma_cells[:, None, None] * math.sqrt(2.0))))
    column, row = below.diff(dim=-1).unbind(1)
    mass = row[:, :, None] * column[:, None, :]
    return mass / mass.sum(dim=(1, 2), keepdim=True)


def pooled_logits(logits: Tensor, window: int) -> Tensor:
    """Logits [..., P, P] of windows of cells: the softmax of the result is the softmax of `logits`, summed."""
    split = _windows(logits.clamp(min=INVALID), window, INVALID)
    return torch.logsumexp(split, dim=(-3, -1))


def pooled_mass(mass: Tensor, window: int) -> Tensor:
    """Sums [..., p, p] over the same windows."""
    return _windows(mass, window, 0.0).sum(dim=(-3, -1))


def _windows(x: Tensor, window: int, beyond: float) -> Tensor:
    """Cells [..., P, P] as [..., p, window, p, window]; rows and columns that do not fill a window are filled up."""
    missing = -x.shape[-1] % window
    x = F.pad(x, (0, missing, 0, missing), value=beyond)
    cells = x.shape[-1] // window
    return x.reshape(*x.shape[:-2], cells, window, cells, window)
