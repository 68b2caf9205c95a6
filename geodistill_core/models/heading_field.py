# SPDX-License-Identifier: Apache-2.0
"""From a map of positions and a field of headings to logits over (yaw, north, east)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def heading_log_share(field: Tensor, yaw_enu_rad: Tensor, turn: int, concentration: float) -> Tensor:
    """Log-probabilities [B, Y, H, W] of yaw hypotheses [B, Y] at every position; they sum to one over hypotheses.

    A von Mises around the field's angle a [B, 2, H, W] (cosine, sine), which is counted from north: yaw = pi/2 + a
    where `turn` = +1 (counter-clockwise), pi/2 - a where it is -1. North's unit vector turned by a is
    (-turn sin a, cos a) in (east, north).
    """
    heading = torch.stack([-turn * field[:, 1], field[:, 0]], dim=1)
    direction = torch.stack([yaw_enu_rad.cos(), yaw_enu_rad.sin()], dim=2)
    return torch.log_softmax(concentration * torch.einsum("byc,bchw->byhw", direction, heading), dim=1)


def move_to_base(logits: Tensor, mount: Tensor, yaw_enu_rad: Tensor, metres_per_pixel: Tensor) -> Tensor:
    """Logits [B, Y, H, W] over positions of the camera become logits over positions of the vehicle's base.

    `mount` [B, 3] is the camera's offset (forward, left, height); a base whose camera lies off the tile gets -inf.
    """
    if not bool(mount[:, :2].any()):
        return logits
    B, Y, H, W = logits.shape
    c, s = yaw_enu_rad.cos(), yaw_enu_rad.sin()
    forward, left = mount[:, :1], mount[:, 1:2]
    half = 0.5 * metres_per_pixel.view(B, 1) * torch.tensor([W, H], device=logits.device).view(2, 1, 1)
    shift = torch.stack([(forward * c - left * s) / half[0], -(forward * s + left * c) / half[1]], dim=2)
    theta = torch.cat([torch.eye(2, device=logits.device).expand(B, Y, 2, 2), shift.unsqueeze(3)], dim=3)
    grid = F.affine_grid(theta.flatten(0, 1).to(logits), [B * Y, 1, H, W], align_corners=False)
    moved = F.grid_sample(logits.reshape(B * Y, 1, H, W), grid, padding_mode="border", align_corners=False)
    outside = (grid.abs() > 1.0).any(dim=3)
    return moved.view(B, Y, H, W).masked_fill(outside.view(B, Y, H, W), -torch.inf)
