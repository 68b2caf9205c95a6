# SPDX-License-Identifier: Apache-2.0
"""Losses of CCVPE and of the adaptation paper over dense targets.

Source: CCVPE, equations 4 to 8, and both papers' published code, whose weights stand as defaults here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from geodistill_core.datasets.heatmap_targets import pooled_targets
from geodistill_training.targets import heatmap_cross_entropy

CCVPE_LABEL_FLOOR = 0.01
ADAPTATION_LABEL_FLOOR = 0.0


class DenseOutput(Protocol):
    """What the losses read of a network's output: logits [B, H, W], unit field [B, 2, H, W], score volumes."""

    @property
    def logits(self) -> Tensor: ...  # noqa: D102

    @property
    def field(self) -> Tensor: ...  # noqa: D102

    @property
    def scores(self) -> tuple[Tensor, ...]: ...  # noqa: D102


def info_nce(scores: Tensor, labels: Tensor, label_floor: float, temperature: float = 0.1) -> Tensor:
    """Mean of -log softmax(scores / temperature) over the batch's positives, weighted by their labels.

    `scores` and `labels` are [B, K, h, w], the softmax runs over a sample's headings and cells; positives are labels
    above `label_floor` (CCVPE, equation 5). Zero where a batch has no positive.
    """
    log_probability = torch.log_softmax(scores.flatten(1) / temperature, dim=1)
    weight = labels.flatten(1) * (labels.flatten(1) > label_floor)
    return -(weight * log_probability).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def orientation_error(field: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """sum weight |field - target|^2 / B for unit vectors [B, 2, H, W] and a weight [B, 1, H, W].

    The published weight is the Gaussian with peak one, whose sum is about 100.
    """
    return ((field - target).square().sum(dim=1, keepdim=True) * weight).sum() / len(field)


def ccvpe_loss(
    output: DenseOutput,
    heatmap: Tensor,
    volume: Tensor,
    orientation: Tensor,
    *,
    weight_info_nce: float = 1e4,
    weight_orientation: float = 10.0,
) -> Tensor:
    """CCVPE's training loss for Gaussians [B, 1, H, W], heading volumes [B, K, H, W] and orientation maps [B, 2, H, W].

    Source: CCVPE, equation 8; published weights (1e4 for the mean over six levels).
    """
    probability = heatmap / heatmap.sum(dim=(1, 2, 3), keepdim=True)
    levels = level_losses(output.scores, volume, CCVPE_LABEL_FLOOR)
    return (
        heatmap_cross_entropy(output.logits, probability)
        + weight_info_nce * torch.stack(levels).mean()
        + weight_orientation * orientation_error(output.field, orientation, heatmap)
    )


def level_losses(scores: Sequence[Tensor], volume: Tensor, label_floor: float) -> list[Tensor]:
    """InfoNCE of each level against the pooled heading volume."""
    targets = pooled_targets(volume)
    return [info_nce(s, t, label_floor) for s, t in zip(scores, targets, strict=True)]


def adaptation_loss(output: DenseOutput, volume: Tensor, *, weight: float = 1e4, levels: int = 2) -> Tensor:
    """The adaptation paper's student loss: InfoNCE of the coarsest levels (K', published: two), equally weighted."""
    targets = pooled_targets(volume)[:levels]
    pairs = zip(output.scores[:levels], targets, strict=True)
    return weight * torch.stack([info_nce(s, t, ADAPTATION_LABEL_FLOOR) for s, t in pairs]).mean()
