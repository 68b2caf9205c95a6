# SPDX-License-Identifier: Apache-2.0
"""What one training step computes for each objective."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.base import GroundInput, MapFeatures, MapInput
from geodistill_core.models.tiny import Tiny
from geodistill_training.batches import Batch
from geodistill_training.objectives import (
    all_pairs_similarity,
    contrastive_loss,
    heatmap_cross_entropy,
    soft_position_target,
)

_SEARCHED_CELLS = 64
_DISTILL_YAWS_DEG = (-6.0, -3.0, 0.0, 3.0, 6.0)


def turn(x: Tensor, gauge: int) -> Tensor:
    """A symmetry of the square on the last two axes: `gauge % 4` quarter turns, then a flip if `gauge` >= 4."""
    turned = torch.rot90(x, gauge % 4, dims=(-2, -1))
    return turned.flip(-1) if gauge >= 4 else turned


def turn_back(x: Tensor, gauge: int) -> Tensor:
    """Inverse of `turn`."""
    unflipped = x.flip(-1) if gauge >= 4 else x
    return torch.rot90(unflipped, -(gauge % 4), dims=(-2, -1))


def ground_input(strip: Tensor, mount: Tensor) -> GroundInput:
    """A batch's strips [B, 4, H, W] (rgb and visible share) as the network reads them."""
    return GroundInput(strip[:, :3], strip[:, 3], mount)


def encode_map_gauged(network: Tiny, tile: Tensor, gauge: int) -> MapFeatures:
    """Map features through a turned input, turned back.

    The weak objective cannot see a constant offset between the two feature maps; such an offset would turn with the
    input, so it cannot survive. The map is padded with what is not valid where the template would leave it.
    """
    valid = torch.ones(tile.shape[0], *tile.shape[-2:])
    resolution = torch.full((tile.shape[0],), network.metres_per_pixel)
    encoded = network.encode_map(MapInput(turn(tile, gauge).contiguous(), valid, resolution))
    missing = max(0, network.cells + _SEARCHED_CELLS - 1 - encoded.valid.shape[-1])
    margin = [(missing + 1) // 2, missing // 2] * 2
    return MapFeatures(F.pad(turn_back(encoded.features, gauge), margin), F.pad(encoded.valid, margin))


def pretext_loss(network: Tiny, batch: Batch) -> Tensor:
    """Cross-entropy of the joint heat map at the place the flat-world strip was drawn from."""
    with torch.autocast("cpu", torch.bfloat16):
        maps = encode_map_gauged(network, batch["tile"], int(batch["gauge"]))
        ground = network.encode_ground(ground_input(batch["strip"], batch["mount"]))
    logits = network.match(ground, maps, batch["yaw"][:, None] + batch["yaw_offsets"])
    positions = logits.shape[-1]
    column = batch["place_m"][:, 0] / network.metres_per_cell + (positions - 1) / 2
    row = (positions - 1) / 2 - batch["place_m"][:, 1] / network.metres_per_cell
    share = -batch["yaw_offsets"][:, 0] / math.radians(3.0)
    return heatmap_cross_entropy(
        logits, soft_position_target((logits.shape[1], positions, positions), share, row, column)
    )


def weak_loss(network: Tiny, batch: Batch) -> Tensor:
    """Batch-wise contrastive loss of real pairs at their heading priors."""
    with torch.autocast("cpu", torch.bfloat16):
        maps = encode_map_gauged(network, batch["tile"], int(batch["gauge"]))
        ground = network.encode_ground(ground_input(batch["strip"], batch["mount"]))
    template, confidence = network.lay_out(ground, batch["yaw"][:, None])
    return contrastive_loss(all_pairs_similarity(maps.features.float(), template[:, 0], confidence[:, 0]))


@torch.no_grad()
def teacher_heatmap(teacher: Tiny, batch: Batch, yaw: Tensor, sharpening: float) -> Tensor:
    """The teacher's sharpened heat map from the whole view, averaged over four turns of the map [B, Y, P, P]."""
    with torch.autocast("cpu", torch.bfloat16):
        ground = teacher.encode_ground(ground_input(batch["strip"], batch["mount"]))
        turns = [encode_map_gauged(teacher, batch["tile"], gauge) for gauge in (0, 1, 2, 3)]
    mean = torch.stack([m.features.float() for m in turns]).mean(0)
    logits = teacher.match(ground, MapFeatures(mean, turns[0].valid), yaw)
    return torch.softmax(logits.flatten(1) * sharpening, dim=1).view_as(logits)


def distill_loss(network: Tiny, teacher: Tiny, batch: Batch, sharpening: float) -> Tensor:
    """GeoDistill: the student sees a part of the view and imitates the sharpened heat map of the all-seeing teacher."""
    yaw = batch["yaw"][:, None] + torch.deg2rad(torch.tensor(_DISTILL_YAWS_DEG))
    target = teacher_heatmap(teacher, batch, yaw, sharpening)
    with torch.autocast("cpu", torch.bfloat16):
        maps = encode_map_gauged(network, batch["tile"], int(batch["gauge"]))
        ground = network.encode_ground(ground_input(batch["student_strip"], batch["mount"]))
    return heatmap_cross_entropy(network.match(ground, maps, yaw), target)
