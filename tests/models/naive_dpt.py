# SPDX-License-Identifier: Apache-2.0
"""The DPT head written out plainly: every level, every row, every position, with the library's convolutions."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def concatenated(tokens):
    """Maps [B, 2D, h, w] with the class token at every position."""
    return [
        torch.cat([p.permute(0, 3, 1, 2), c[:, :, None, None].expand(-1, -1, *p.shape[1:3])], dim=1)
        for p, c in zip(tokens.patches, tokens.classes, strict=True)
    ]


def residual(unit, y):
    return y + F.relu(unit.second(F.relu(unit.first(y))))


def naive_levels(head, maps):
    """Levels 0, 1, 2 from four maps [B, 2D, h, w]."""
    x = [F.interpolate(m.reduce(t), scale_factor=2) for m, t in zip(head.mergers, maps, strict=True)]
    merged, levels = residual(head.mergers[3].joint, x[3]), []
    for k, outlet in zip((2, 1, 0), head.outlets, strict=True):
        merged = residual(head.mergers[k].joint, residual(head.mergers[k].own, x[k]) + merged)
        enlarged = F.interpolate(merged, scale_factor=outlet.factor)
        levels.append(outlet.output(F.relu(outlet.hidden(enlarged))))
    return levels
