# SPDX-License-Identifier: Apache-2.0
"""Learning a heading as a class: soft labels around the true class, their cross-entropy, and the error of a guess."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geodistill_core.models.yaw_classes import YawClasses


def soft_labels(position: Tensor, classes: YawClasses, sigma: float = 1.0) -> Tensor:
    """Probabilities [..., N] of class positions [...]: exp(-(k - position)^2 / (2 sigma^2)), normalised.

    Distances run around the circle where the classes do (GeoDistill's orientation network; sigma in classes).
    """
    distance = torch.arange(classes.count, device=position.device) - position.unsqueeze(-1)
    if classes.circular:
        half = classes.count / 2
        distance = torch.remainder(distance + half, classes.count) - half
    return torch.softmax(-distance.square() / (2 * sigma**2), dim=-1)


def orientation_loss(logits: Tensor, offset_rad: Tensor, classes: YawClasses, sigma: float = 1.0) -> Tensor:
    """Cross-entropy of class logits [B, N] with soft labels of the true offsets [B] (rad), mean over the batch."""
    target = soft_labels(classes.label(offset_rad), classes, sigma)
    return -(target * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def orientation_error(guess_rad: Tensor, truth_rad: Tensor, classes: YawClasses) -> Tensor:
    """Absolute difference of headings (rad) [...], along the shorter arc where the classes are a circle."""
    difference = guess_rad - truth_rad
    if classes.circular:
        difference = torch.remainder(difference + math.pi, 2 * math.pi) - math.pi
    return difference.abs()
