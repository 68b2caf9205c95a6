# SPDX-License-Identifier: Apache-2.0
"""What overhead-matching networks know of a map and of a ground image, level by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from geodistill_core.models.base import GroundInput
from geodistill_core.models.correlation import CorrelationMap
from geodistill_core.models.exact_overhead import FeatureCells


@dataclass(frozen=True, slots=True)
class OverheadMap:
    """Per level: `features` [B, C, A, A] and their `correlation` spectra; `metres_per_pixel` [B] of the tiles.

    `uncertainty` [B, 1, A, A] per level scales the map's energy in GGCVT; other networks have none.
    """

    features: Mapping[int, Tensor]
    correlation: Mapping[int, CorrelationMap]
    metres_per_pixel: Tensor
    uncertainty: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OverheadGround:
    """Per level: `features` [B, C, h, w] and `confidence` [B, 1, h, w] (or None), rows from `first_row` on.

    `reach_m` is how far from the camera's foot the rows that were encoded show the ground.
    """

    features: Mapping[int, Tensor]
    confidence: Mapping[int, Tensor | None]
    first_row: Mapping[int, int]
    source: GroundInput
    reach_m: float


@dataclass(frozen=True, slots=True)
class Level:
    """Geometry of one feature level.

    `map_cells` A of the tile's feature map, `map_stride` tile pixels per cell, `ground` the ground view's cells and
    `ground_size` (h, w) its feature map; `template` cells are matched; the published projection draws its overhead
    view on `drawn_cells` cells, each `drawn_stride` tile pixels wide.
    """

    map_cells: int
    map_stride: float
    ground: FeatureCells
    ground_size: tuple[int, int]
    template: int
    drawn_cells: int
    drawn_stride: float
