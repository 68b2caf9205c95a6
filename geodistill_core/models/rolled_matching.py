# SPDX-License-Identifier: Apache-2.0
"""Rolled matching: a ground descriptor against every cell's descriptor, turned by a number of headings.

A descriptor's channels run around the horizon, so turning the view rolls them. Instead of rolling the map once per
heading, the small ground descriptor is laid into one template per heading and a single product compares them all
(CCVPE, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NORM_FLOOR = 1e-12


class RolledMatching(nn.Module):
    """Cosine similarity of a descriptor of `length` with a window of a map's `channels`, for every roll.

    Roll i compares the window that starts at channel i * step and wraps around. `length` <= `channels`.
    """

    source: Tensor
    window: Tensor

    def __init__(self, channels: int, length: int, step: int, rolls: Sequence[int]) -> None:
        super().__init__()
        place = (torch.arange(channels) - torch.tensor(list(rolls)).view(-1, 1) * step) % channels
        self.whole = length == channels
        self.register_buffer("source", place.clamp(max=length), persistent=False)
        self.register_buffer("window", (place < length).float(), persistent=False)

    def templates(self, descriptor: Tensor) -> Tensor:
        """Descriptors [B, length] to unit templates [B, rolls, channels], zero outside their window."""
        unit = unit_cells(descriptor)
        return torch.cat([unit, unit.new_zeros(len(unit), 1)], dim=1)[:, self.source]

    def window_norms(self, unit: Tensor) -> Tensor | None:
        """Norms [B, rolls, h, w] of the windows of a map [B, channels, h, w]; None where each window is the whole."""
        if self.whole:
            return None
        energy = torch.matmul(self.window, unit.square().flatten(2))
        return energy.clamp(min=_NORM_FLOOR**2).sqrt().view(len(unit), -1, *unit.shape[2:])

    def forward(self, templates: Tensor, unit: Tensor, norms: Tensor | None) -> Tensor:
        """Similarities [B, rolls, h, w] of templates with a map of unit norm per cell."""
        scores = torch.bmm(templates, unit.flatten(2)).view(len(unit), -1, *unit.shape[2:])
        return scores if norms is None else scores / norms


def unit_cells(features: Tensor) -> Tensor:
    """Features [B, C, ...] with norm 1 at every cell."""
    return F.normalize(features, dim=1, eps=_NORM_FLOOR)


class GroundDescriptors(nn.Module):
    """Ground features to one descriptor per level: fewer channels, then rows collapsed by learned weights."""

    def __init__(self, channels_in: int, channels: Sequence[int], rows: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(channels_in, n, 1) for n in channels)
        self.collapse = nn.ModuleList(nn.Conv2d(rows, 1, 1) for _ in channels)

    def forward(self, features: Tensor) -> list[Tensor]:
        """[B, C, rows, columns] to descriptors [B, columns * channels], all channels of a column side by side."""
        descriptors = []
        for project, collapse in zip(self.project, self.collapse, strict=True):
            rows_first = project(features).transpose(1, 2)
            descriptors.append(collapse(rows_first).squeeze(1).transpose(1, 2).flatten(1))
        return descriptors
