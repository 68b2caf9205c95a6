# SPDX-License-Identifier: Apache-2.0
"""Target heat maps and the cross-entropy with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_training.data.examples import Batch


def position_target(
    shape: Sequence[int], place_m: Tensor, metres_per_cell: float, yaw_index: Tensor | None = None
) -> Tensor:
    """Trilinear one-hot targets [B, Y, P, P] at places [B, 2] (metres east and north of the centre); sums to one.

    `yaw_index` [B] is fractional between yaw hypotheses, None means the first.
    """
    B, (Y, H, W) = len(place_m), shape
    yaw = torch.zeros(B, device=place_m.device) if yaw_index is None else yaw_index
    column = place_m[:, 0] / metres_per_cell + (W - 1) / 2
    row = (H - 1) / 2 - place_m[:, 1] / metres_per_cell
    target = torch.zeros(B, Y, H, W, device=place_m.device)
    batch = torch.arange(B, device=place_m.device)
    for dy in (0, 1):
        for dr in (0, 1):
            for dc in (0, 1):
                y, r, c = yaw.floor().long() + dy, row.floor().long() + dr, column.floor().long() + dc
                share = (1 - (yaw - y).abs()) * (1 - (row - r).abs()) * (1 - (column - c).abs())
                target[batch, y.clamp(0, Y - 1), r.clamp(0, H - 1), c.clamp(0, W - 1)] += share
    return target


def refuse_outside(batch: Batch, reach_m: float | Tensor) -> None:
    """Refuse true places farther east, west, north or south of the tile's centre than a network searches.

    `reach_m` is one number or one for each row [B].

    Raises:
        ConfigError: a place lies beyond; the message names the example.
    """
    assert batch.truth is not None
    reach = torch.as_tensor(reach_m).expand(len(batch))
    away = batch.truth[:, :2].abs().amax(dim=1).cpu()
    for row in (away > reach.cpu()).nonzero().flatten().tolist():
        east_m, north_m = batch.truth[row, :2].tolist()
        raise ConfigError(
            f"{batch.keys[row]}: the true place is {east_m:.1f} m east and {north_m:.1f} m north of the tile's centre, "
            f"the network searches {float(reach[row]):.1f} m to each side; lower the data's position range (VIGOR: "
            "partners: positive)"
        )


def heatmap(similarity: Tensor, temperature: float) -> Tensor:
    """Probabilities [B, ...] over all positions and yaws of similarities [B, ...]."""
    return F.softmax(similarity.flatten(1) / temperature, dim=1).view_as(similarity)


def heatmap_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of heat maps: logits and target [B, ...] over all positions and yaws."""
    log_p = F.log_softmax(logits.flatten(1), dim=1)
    return -(target.flatten(1) * log_p.clamp(min=-1e4)).sum(1).mean()
