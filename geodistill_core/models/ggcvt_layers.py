# SPDX-License-Identifier: Apache-2.0
"""GGCVT's parts on overhead features: the cross-view transformer, its decoder and the uncertainty head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.models.backbones.column_attention import ColumnAttention, ColumnGroups
from geodistill_core.models.backbones.vgg_unet import LEVEL_0_CHANNELS, Band, VggDecoder, unit_norm
from geodistill_core.models.backbones.window_attention import WindowTokens

TOKEN_WIDTH, HEADS = 48, 3
_BLOCKS = 2


class OverheadSelfAttention(nn.Module):
    """Overhead features [B, C, h, w] to tokens [B, h, w, C] that know their neighbours; no residual around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tokens = WindowTokens(channels, TOKEN_WIDTH, HEADS, patch=1, qkv_bias=False)
        self.head = nn.Linear(TOKEN_WIDTH, channels)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """`seen` [B, h, w] (bool) marks the cells that may be attended to."""
        return torch.as_tensor(self.head(self.tokens(x, seen)))


class CrossViewBlock(nn.Module):
    """Overhead cells look at each other, then at the image columns that they project to (GGCVT)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.self_attention = OverheadSelfAttention(channels)
        self.columns = ColumnAttention(channels)

    def forward(self, x: Tensor, encoded: Tensor, groups: ColumnGroups, seen: Tensor | None) -> Tensor:
        """Features [B, C, h, w] to the same shape; arguments as for `OverheadFusion`."""
        mixed = self.self_attention(x, seen)
        return torch.as_tensor(self.columns(mixed, self.columns.pairs(encoded), groups)).permute(0, 3, 1, 2)


class OverheadFusion(nn.Module):
    """Projected ground features of all levels, made consistent from the transformer's level 0 upwards."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CrossViewBlock(LEVEL_0_CHANNELS) for _ in range(_BLOCKS))
        self.decoders = nn.ModuleDict({"1": VggDecoder(256, 128, 128, 128), "2": VggDecoder(128, 64, 64, 64)})

    def forward(
        self, projected: Mapping[int, Tensor], encoded: Tensor, groups: ColumnGroups, seen: Tensor | None
    ) -> dict[int, Tensor]:
        """Projected levels 0, 1, ... [B, C, A, A] to as many levels of the same shapes.

        `encoded` [B, C, h, w] is the ground encoder's deepest map, not normalised; `groups` tells which of its columns
        each cell of level 0 projects to, `seen` [B, A, A] which cells may be attended to.
        """
        x = projected[0]
        for block in self.blocks:
            x = block(x, encoded, groups, seen)
        found = {0: unit_norm(x)}
        for number in range(1, len(projected)):
            deep, skip = Band(F.relu(found[number - 1])), Band(F.relu(projected[number]))
            found[number] = projected[number] + unit_norm(self.decoders[str(number)](deep, skip).values)
        return found


def uncertainty_head(channels: int) -> nn.Sequential:
    """Map features [B, C, A, A] to a factor [B, 1, A, A] in 0..1 on the map's energy (published code)."""
    layers: list[nn.Module] = []
    for a, b in ((channels, 64), (64, 16), (16, 1)):
        layers += [nn.ReLU(), nn.Conv2d(a, b, 3, padding=1)]
    return nn.Sequential(*layers, nn.Sigmoid())
