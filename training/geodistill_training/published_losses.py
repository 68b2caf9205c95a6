# SPDX-License-Identifier: Apache-2.0
"""The published losses on distance maps d = 2 - 2 similarity, and how batches are turned into such maps.

Every loss takes one map per level: [M, N, P, P] (each map of the batch with each template) or [B, P, P] (pairs). True
offsets are in cells from the centre of a level's positions, (right, down), [B, 2].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.models.correlation import CorrelationMap, correlate, correlate_all_pairs
from geodistill_training.targets import heatmap, heatmap_cross_entropy

Levels = Sequence[Tensor]

_SHARPNESS = 10.0
BATCH_FLOOR = 1e-6
"""The least denominator of published batch-wise similarities."""


def pair_distances(
    maps: CorrelationMap, template: Tensor, confidence: Tensor | None = None, floor: float | None = None
) -> Tensor:
    """Distances [B, P, P] of maps [B, C, A, A] to their own templates [B, C, k, k].

    The published code floors the denominator at 1e-6 (G2SWeakly) or not at all (GeoDistill).
    """
    return 2 - 2 * correlate(maps, template, confidence).similarity(floor)


def batch_distances(maps: CorrelationMap, template: Tensor, confidence: Tensor | None = None) -> Tensor:
    """Distances [M, N, P, P] of all maps to all templates (published batch-wise training).

    Where maps carry a weight, the published code divides by the energy of all templates of the batch together.
    """
    found = correlate_all_pairs(maps, template, confidence)
    if maps.weight is not None:
        found = replace(found, ground_energy=found.ground_energy.sum(dim=1, keepdim=True))
    return 2 - 2 * found.similarity(BATCH_FLOOR)


def contrastive_loss(distances: Levels) -> Tensor:
    """G2SWeakly's weak supervision on [M, N, P, P]: a map is nearest to its own image; mean over levels.

    As published, true pairs count as their own negatives (log 2 each) but the divisor M (N - 1) leaves them out.
    """
    return torch.stack([contrast(distance.flatten(-2).amin(dim=-1)) for distance in distances]).mean()


def contrast(nearest: Tensor, sharpness: float = _SHARPNESS) -> Tensor:
    """One level of `contrastive_loss` from the least distances [M, N] of every map to every template."""
    terms = F.softplus(sharpness * (nearest.diagonal().unsqueeze(1) - nearest))
    return terms.sum() / (nearest.shape[0] * (nearest.shape[1] - 1))


def gps_loss(distances: Levels, offsets: Levels, radii: Levels) -> Tensor:
    """How much worse than anywhere the best fit near the noisy GPS position is (G2SWeakly); mean over batch and levels.

    `distances` [M, M, P, P]; near is the square of `radii` [M] whole cells before and after the cell of `offsets`.
    A square outside the positions counts as its nearest cell.
    """
    levels = zip(distances, offsets, radii, strict=True)
    gaps = [gps_gap(d.diagonal(dim1=0, dim2=1).movedim(-1, 0), offset, radius) for d, offset, radius in levels]
    return torch.stack(gaps).mean()


def gps_gap(own: Tensor, offset: Tensor, radius: Tensor) -> Tensor:
    """One level of `gps_loss` from the distances [M, P, P] of every map to its own template."""
    positions = own.shape[-1]
    centre = _cell(offset, positions)
    first = (centre - radius.unsqueeze(-1)).clamp(0, positions - 1)
    end = (centre + radius.unsqueeze(-1)).clamp(1, positions)
    index = torch.arange(positions, device=own.device)
    near = (index >= first.unsqueeze(-1)) & (index < end.unsqueeze(-1))
    box = near[:, 1].unsqueeze(-1) & near[:, 0].unsqueeze(-2)
    best_near = own.masked_fill(~box, torch.inf).amin(dim=(-2, -1))
    return (best_near - own.amin(dim=(-2, -1))).abs().mean()


def weak_loss(
    distances: Levels, offsets: Levels, radii: Levels, gps_coefficient: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """G2SWeakly's whole objective, then its contrastive and its GPS term; published trainings leave GPS out."""
    contrastive, gps = contrastive_loss(distances), gps_loss(distances, offsets, radii)
    return contrastive + gps_coefficient * gps, contrastive, gps


def triplet_loss(distances: Levels, offsets: Levels, over_levels: Literal["mean", "sum"] = "mean") -> Tensor:
    """Fully supervised: nearest at the true cell, on [B, P, P]; the sum over levels for KITTI and GGCVT.

    Raises:
        ConfigError: a true cell lies outside the positions.
    """
    losses = []
    for distance, offset in zip(distances, offsets, strict=True):
        positions = distance.shape[-1]
        column, row = _cell(offset, positions).unbind(-1)
        if bool(((column < 0) | (row < 0) | (column >= positions) | (row >= positions)).any()):
            raise ConfigError(
                f"a true offset of {offset.abs().max():.1f} cells lies outside the {positions} x {positions} positions "
                "of the map; train with offsets that the map's extent less the template's can hold"
            )
        flat = distance.flatten(1)
        at_truth = flat.gather(1, (row * positions + column).unsqueeze(1))
        losses.append(F.softplus(_SHARPNESS * (at_truth - flat)).sum() / (len(flat) * (flat.shape[1] - 1)))
    total = torch.stack(losses)
    return total.mean() if over_levels == "mean" else total.sum()


def distillation_loss(
    student: Levels, teacher: Levels, student_temperature: float = 0.06, teacher_temperature: float = 0.06
) -> Tensor:
    """Cross-entropy of the student's heat map under the teacher's, [B, P, P] distances; mean over batch and levels.

    GeoDistill, section 3.3; the defaults are those that its published trainings use.
    """
    losses = []
    for guess, target in zip(student, teacher, strict=True):
        logits = (2 - guess) / 2 / student_temperature
        losses.append(heatmap_cross_entropy(logits, heatmap((2 - target) / 2, teacher_temperature)))
    return torch.stack(losses).mean()


def _cell(offset: Tensor, positions: int) -> Tensor:
    """Whole cells [B, 2] (column, row) of offsets from the centre of `positions` (half rounds to even)."""
    return torch.round(offset + (positions / 2 - 0.5)).long()
