# SPDX-License-Identifier: Apache-2.0
"""GGCVT's pose refiner: a regressor per level reads how projected and map features differ, and moves the pose.

The published evaluation keeps only its heading, and searches the position by correlation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geodistill_core.models.backbones.window_attention import WindowTokens

TOKEN_WIDTH, HEADS, PATCH = 48, 3, 4
SHIFT_LIMIT = 2.0
"""A shift of that many units left the map; it starts again from somewhere within one unit (published code)."""


class PoseRegressor(nn.Module):
    """Feature differences [B, C, A, A] to changes of the pose [B, 3], A divisible by 32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tokens = WindowTokens(channels, TOKEN_WIDTH, HEADS, patch=PATCH, qkv_bias=True)
        self.norm = nn.LayerNorm(TOKEN_WIDTH)
        self.head = nn.Linear(TOKEN_WIDTH, 3)

    def forward(self, difference: Tensor) -> Tensor:
        """See the class."""
        return torch.as_tensor(self.head(self.norm(self.tokens(difference)).mean(dim=(1, 2))))


@dataclass(frozen=True, slots=True)
class Refinement:
    """Poses [B, n, 3] after each step and the regressors' `changes` [B, n, 3]: forward, left and heading, in units."""

    poses: Tensor
    changes: Tensor


class PoseRefiner(nn.Module):
    """One regressor per level, asked in turn from the coarsest to the finest, `rounds` times."""

    def __init__(self, channels: tuple[int, ...], rounds: int = 2) -> None:
        super().__init__()
        self.rounds = rounds
        self.regressors = nn.ModuleList(PoseRegressor(width) for width in channels)

    def forward(
        self, difference: Callable[[int, Tensor], Tensor], pose: Tensor, generator: torch.Generator | None = None
    ) -> Refinement:
        """Refine poses [B, 3]; `difference(level, pose)` are the feature differences that a pose leaves.

        `generator` draws the shifts that start again (None: torch's own).
        """
        poses, changes = [], []
        for _ in range(self.rounds):
            for level, regressor in enumerate(self.regressors):
                changes.append(regressor(difference(level, pose)))
                pose = _restart_far_shifts(pose + changes[-1], generator)
                poses.append(pose)
        return Refinement(torch.stack(poses, dim=1), torch.stack(changes, dim=1))


def _restart_far_shifts(pose: Tensor, generator: torch.Generator | None) -> Tensor:
    """Published code draws for both shifts at every step, needed or not: first forward for the batch, then left."""
    drawn = torch.stack([torch.rand(len(pose), generator=generator) for _ in range(2)], dim=1).to(pose) * 2 - 1
    shift = torch.where(pose[:, :2].abs() >= SHIFT_LIMIT, drawn, pose[:, :2])
    return torch.cat([shift, pose[:, 2:]], dim=1)
