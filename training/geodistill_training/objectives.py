# SPDX-License-Identifier: Apache-2.0
"""The losses; none of them reads a position label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.correlation import correlate_all_pairs, correlation_map

_ENERGY_FLOOR = 1e-8


def all_pairs_similarity(features: Tensor, template: Tensor, confidence: Tensor) -> Tensor:
    """Best similarity [M, N] of every map [M, C, A, A] with every template [N, C, k, k] over all positions.

    The batch-wise correlation of the weakly supervised objective.
    """
    found = correlate_all_pairs(correlation_map(features), template, confidence)
    energy = found.map_energy.clamp(min=_ENERGY_FLOOR) * found.ground_energy.clamp(min=_ENERGY_FLOOR)
    return (found.numerator * torch.rsqrt(energy)).flatten(-2).amax(-1)


def contrastive_loss(best: Tensor, sharpness: float = 20.0) -> Tensor:
    """Batch-wise contrast (G2SWeakly objective): a map's own image must fit it better than any other, and vice versa.

    `best` [M, M] are the all-pairs best similarities; the diagonal are the true pairs.
    """
    own = best.diagonal()
    off = ~torch.eye(len(best), dtype=torch.bool, device=best.device)
    by_map = F.softplus(sharpness * (best - own[:, None]))[off]
    by_image = F.softplus(sharpness * (best - own[None, :]))[off]
    return (by_map.mean() + by_image.mean()) / 2


def soft_position_target(shape: tuple[int, int, int], yaw_index: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Trilinear one-hot targets [B, Y, P, P] at fractional cell indices (each [B]); sums to one."""
    B, (Y, H, W) = len(row), shape
    target = torch.zeros(B, Y, H, W)
    batch = torch.arange(B)
    for dy in (0, 1):
        for dr in (0, 1):
            for dc in (0, 1):
                y, r, c = yaw_index.floor().long() + dy, row.floor().long() + dr, column.floor().long() + dc
                share = (1 - (yaw_index - y).abs()) * (1 - (row - r).abs()) * (1 - (column - c).abs())
                target[batch, y.clamp(0, Y - 1), r.clamp(0, H - 1), c.clamp(0, W - 1)] += share
    return target


def heatmap_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of heat maps: logits and target [B, ...] over all positions and yaws."""
    log_p = F.log_softmax(logits.flatten(1), dim=1)
    return -(target.flatten(1) * log_p.clamp(min=-1e4)).sum(1).mean()
