# SPDX-License-Identifier: Apache-2.0
"""What GeoDistill's student does not see: column bands, strong activations, or random patches of the ground image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geodistill_core.types import Array

VIGOR_VISIBLE_DEG = (180, 240)
KITTI_VISIBLE_DEG = (270, 300)


def draw_hidden_band(
    rng: np.random.Generator, visible_deg: tuple[int, int] = VIGOR_VISIBLE_DEG, wrap: bool = False
) -> tuple[int, int]:
    """First and last degree (excluded) of a band that leaves visible_deg[0] to visible_deg[1] - 1 degrees of 360.

    A band that wraps around the image's edge ends beyond 360; published bands never do (GeoDistill, section 3.3; a
    KITTI image counts as 360 degrees wide).
    """
    hidden = 360 - int(rng.integers(*visible_deg))
    first = int(rng.integers(0, 360 if wrap else 360 - hidden))
    return first, first + hidden


def column_mask(height: int, width: int, band_deg: tuple[int, int]) -> Array:
    """Ones [height, width], uint8, with zeros in the columns of a band of degrees of 360 across the width.

    A band that ends beyond 360 degrees goes on at the other edge.
    """
    first, last = (round(width / 360 * degrees) for degrees in band_deg)
    mask = np.ones((height, width), dtype=np.uint8)
    mask[:, np.arange(first, last) % width] = 0
    return mask


def activation_mask(features: Tensor, share: float) -> Tensor:
    """Ones [B, 1, H, W] with zeros at the `share` of positions of features [B, C, H, W] with the largest means."""
    mean = features.mean(dim=1, keepdim=True)
    hidden = mean.flatten(1).topk(int(mean[0].numel() * share), dim=1).indices
    return torch.ones_like(mean).flatten(1).scatter(1, hidden, 0.0).view_as(mean)


def patch_mask(height: int, width: int, share: float, patch: int, rng: np.random.RandomState) -> Array:
    """Ones [height, width], uint8, with zero patches, drawn until at least `share` of the image is hidden.

    Patches at the right and lower edge may be cut. The legacy generator gives the published code's order.
    """
    corners = [(row, column) for row in range(0, height, patch) for column in range(0, width, patch)]
    rng.shuffle(corners)
    mask = np.ones((height, width), dtype=np.uint8)
    for row, column in corners:
        if mask.size - np.count_nonzero(mask) >= share * mask.size:
            break
        mask[row : row + patch, column : column + patch] = 0
    return mask
