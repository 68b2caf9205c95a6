# SPDX-License-Identifier: Apache-2.0
"""What is hidden from the student: a field of view, random patches, or what it looks at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.base import GroundInput
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.masks import activation_mask, column_mask, draw_hidden_band, patch_mask
from geodistill_training.recipe.objectives import DistillRecipe

Rngs = Sequence[np.random.Generator]


def view_masks(ground: GroundInput, visible_deg: tuple[int, int], wrap: bool, rngs: Rngs) -> Tensor:
    """Ones [B, h, w] with zeros outside a random field of view of each image.

    The columns in which an image shows anything count as 360 degrees: a narrow camera loses the same share of what it
    has as a panorama does (published trainings treat KITTI's pinhole images so).
    """
    masks = torch.ones(ground.visible.shape)
    for mask, shows, rng in zip(masks, (ground.visible > 0).any(dim=1).cpu(), rngs, strict=True):
        band = draw_hidden_band(rng, visible_deg, wrap)
        mask[:, shows] = torch.from_numpy(column_mask(mask.shape[0], int(shows.sum()), band)).float()
    return masks.to(ground.visible.device)


def patch_masks(ground: GroundInput, share: float, patch_px: int, rngs: Rngs) -> Tensor:
    """Ones [B, h, w] with zeros in random patches that hide `share` of each image."""
    height, width = ground.visible.shape[-2:]
    states = (np.random.RandomState(int(rng.integers(2**32))) for rng in rngs)
    masks = [torch.from_numpy(patch_mask(height, width, share, patch_px, state)) for state in states]
    return torch.stack(masks).float().to(ground.visible.device)


@torch.no_grad()
def activation_masks(family: Family[Any, Any], ground: GroundInput, share: float) -> Tensor:
    """Ones [B, h, w] with zeros under the `share` of the network's own ground features with the largest means."""
    masks = activation_mask(family.activations(ground), share)
    return F.interpolate(masks.float(), ground.visible.shape[-2:], mode="nearest")[:, 0]


def student_ground(family: Family[Any, Any], batch: Batch, options: DistillRecipe, rngs: Rngs) -> Any:
    """What the student knows of a batch's images; `rngs` draw the mask of each row."""
    ground = batch.ground
    if options.mask == "none":
        return family.ground(ground)
    if options.mask == "fov":
        mask = view_masks(ground, options.visible_deg, options.wrap, rngs)
    elif options.mask == "patch":
        mask = patch_masks(ground, options.hidden_share, options.patch_px, rngs)
    else:
        mask = activation_masks(family, ground, options.hidden_share)
    return family.hidden_ground(ground, mask, options.masked)
