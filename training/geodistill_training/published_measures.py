# SPDX-License-Identifier: Apache-2.0
"""How the published validation scripts read an offset from a similarity map, half cells included."""

from __future__ import annotations

import torch
from torch import Tensor

from geodistill_core.models.published_overhead import center_crop

_KITTI_SEARCH_M = 60.0


def best_offset_cells(similarity: Tensor, bias_cells: float = 0.0) -> Tensor:
    """Offsets (right, down) [B, 2] in cells of the best position of maps [B, P, P]: its index less P/2, plus the bias.

    Published biases: 0 for G2SWeakly and GeoDistill on VIGOR and for GGCVT on KITTI, 0.5 for both former on KITTI, -0.5
    for GGCVT on VIGOR. The middle of the map is at index (P - 1)/2, so only 0.5 is free of a constant error.
    """
    positions = similarity.shape[-1]
    best = similarity.flatten(1).argmax(dim=1)
    return torch.stack([best % positions, best // positions], dim=-1) - positions / 2 + bias_cells


def kitti_offset_m(similarity: Tensor, metres_per_cell: float, heading_rad: Tensor) -> tuple[Tensor, Tensor]:
    """Ahead and left [B, 2] in metres of the vehicle as G2SWeakly's KITTI script finds it, and the map it searches.

    It searches [B, P, P] within 30 m of the centre and turns the offset (right, up) by the heading [B] back into the
    vehicle's axes.
    """
    searched = center_crop(similarity, int(_KITTI_SEARCH_M / metres_per_cell))
    right, down = (best_offset_cells(searched, bias_cells=0.5) * metres_per_cell).unbind(-1)
    c, s = torch.cos(heading_rad), torch.sin(heading_rad)
    return torch.stack([right * c - down * s, -right * s - down * c], dim=-1), searched
