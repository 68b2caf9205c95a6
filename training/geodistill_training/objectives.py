# SPDX-License-Identifier: Apache-2.0
"""The losses; none of them reads a position label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def all_pairs_similarity(features: Tensor, template: Tensor, confidence: Tensor) -> Tensor:
    """Best similarity [M, N] of every map [M, C, A, A] with every template [N, C, k, k] over all positions.

    The batch-wise correlation of the weakly supervised objective, as one product per frequency.
    """
    size, positions = features.shape[-1], features.shape[-1] - template.shape[-1] + 1
    weight = confidence.square()

    def spectra(x: Tensor) -> Tensor:
        return torch.as_tensor(torch.fft.rfft2(x, s=(size, size))).flatten(-2)

    def correlate(maps: Tensor, templates: Tensor) -> Tensor:
        product = torch.matmul(spectra(maps).permute(2, 0, 1), spectra(templates).conj().permute(2, 1, 0))
        volume = product.permute(1, 2, 0).reshape(len(maps), len(templates), size, size // 2 + 1)
        return torch.as_tensor(torch.fft.irfft2(volume, s=(size, size))[..., :positions, :positions])

    numerator = correlate(features, template * weight.unsqueeze(1))
    map_energy = correlate(features.square().sum(1, keepdim=True), weight.unsqueeze(1)).clamp(min=1e-8)
    template_energy = (template.square().sum(1) * weight).sum((-2, -1)).clamp(min=1e-8)
    similarity = numerator * torch.rsqrt(map_energy * template_energy[None, :, None, None])
    return similarity.flatten(-2).amax(-1)


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
