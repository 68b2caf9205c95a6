# SPDX-License-Identifier: Apache-2.0
"""Overhead cells attend to the image columns that they project to (GGCVT).

A vertical line in the world stays in one image column, so a cell at column u asks every row of columns floor(u) and
floor(u) + 1. Thousands of cells share a few dozen pairs of columns: keys and values are computed once per image, cells
are grouped by pair, and each group is one small attention. Nothing is gathered per cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodistill_core.models.portable import is_portable

_GROUP = 32


@dataclass(frozen=True, slots=True)
class ColumnGroups:
    """Cells [B, n], flattened, in groups of up to 32 that share a pair of columns.

    `cell` [G, 32] is the flat cell in each slot (any cell in a spare slot), `slot` [B n] the flat slot of each cell,
    `pair` [G] the group's flat entry of the table [B, W + 1] of pairs.
    """

    cell: Tensor
    slot: Tensor
    pair: Tensor


def group_by_column(column: Tensor, width: int) -> ColumnGroups:
    """Group cells by projected column [B, n] (pixel centres at integers) in images `width` columns wide.

    Entry p of an image's table pairs columns p - 1 and p, so that it serves floor(column) = p - 1; columns beyond the
    image belong to the first or last entry.
    """
    B = column.shape[0]
    entry = column.floor().clamp(-1, width - 1).long() + 1
    if is_portable():
        return _portable_groups(entry[0], width + 1)
    entry = (entry + torch.arange(B, device=entry.device).unsqueeze(1) * (width + 1)).flatten()
    count = torch.bincount(entry, minlength=B * (width + 1))
    groups = (count + _GROUP - 1) // _GROUP
    order = entry.argsort(stable=True)
    rank = torch.arange(len(entry), device=entry.device) - (count.cumsum(0) - count)[entry[order]]
    place = (groups.cumsum(0) - groups)[entry[order]] * _GROUP + rank
    pair = torch.repeat_interleave(torch.arange(len(groups), device=entry.device), groups)
    slot = torch.empty_like(order).scatter_(0, order, place)
    cell = torch.zeros(len(pair) * _GROUP, dtype=torch.long, device=entry.device).scatter_(0, place, order)
    return ColumnGroups(cell.view(-1, _GROUP), slot, pair)


def _portable_groups(entry: Tensor, entries: int) -> ColumnGroups:
    """Groups of one image's cells [n]; as many as there could ever be, the last ones spare."""
    most = len(entry) // _GROUP + entries
    # whole numbers, which TensorRT sums as floats only
    of_entry = (entry.unsqueeze(1) == torch.arange(entries)).float()
    groups = (of_entry.sum(dim=0) / _GROUP).ceil()
    ends = groups.cumsum(0)
    rank = (of_entry.cumsum(0) * of_entry).sum(dim=1) - 1
    slot = ((ends - groups)[entry] * _GROUP + rank).long()
    pair = (ends.unsqueeze(0) <= torch.arange(most).unsqueeze(1)).sum(dim=1).clamp(max=entries - 1)
    cell = torch.zeros(most * _GROUP, dtype=torch.long).scatter(0, slot, torch.arange(len(entry)))
    return ColumnGroups(cell.view(-1, _GROUP), slot, pair)


class ColumnAttention(nn.Module):
    """Overhead tokens [B, h, w, D] to the same shape, from the keys and values of an image [B, D, H, W]."""

    def __init__(self, width: int = 256, heads: int = 4, head_width: int = 16) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.to_q, self.to_k, self.to_v = (
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner, bias=False)) for _ in range(3)
        )
        self.proj = nn.Linear(inner, width)
        self.prenorm, self.postnorm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def pairs(self, image: Tensor) -> Tensor:
        """Keys and values [2, B, W + 1, 2 H, inner] of all pairs of adjacent columns of an image [B, D, H, W].

        At either end the outermost column is paired with itself.
        """
        tokens = image.permute(0, 3, 2, 1)
        both = torch.stack([self.to_k(tokens), self.to_v(tokens)])
        left = torch.cat([both[:, :, :1], both], dim=2)
        right = torch.cat([both, both[:, :, -1:]], dim=2)
        return torch.cat([left, right], dim=3)

    def attend(self, query: Tensor, pairs: Tensor, groups: ColumnGroups) -> Tensor:
        """Attention of flat queries [cells, inner] over each cell's pair of columns."""

        def split(x: Tensor) -> Tensor:
            return x.view(*x.shape[:-1], self.heads, -1).transpose(-3, -2)

        keys, values = pairs.flatten(1, 2)[:, groups.pair]
        found = F.scaled_dot_product_attention(split(query[groups.cell]), split(keys), split(values))
        return found.transpose(-3, -2).flatten(2).flatten(0, 1)[groups.slot]

    def forward(self, x: Tensor, pairs: Tensor, groups: ColumnGroups) -> Tensor:
        """The published block has no residual from the query."""
        query = self.to_q(x).flatten(0, 2)
        z = self.prenorm(self.proj(self.attend(query, pairs, groups)))
        return torch.as_tensor(self.postnorm(z + self.mlp(z))).view(x.shape)
