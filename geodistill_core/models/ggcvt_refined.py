# SPDX-License-Identifier: Apache-2.0
"""GGCVT with its pose refiner: the heading is regressed before the position is searched (KITTI, 3-DoF)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from geodistill_core.models.backbones.vgg_unet import unit_norm
from geodistill_core.models.base import Geometry, MapInput
from geodistill_core.models.ggcvt import LEVEL_CHANNELS, GgcvtKitti
from geodistill_core.models.ggcvt import PUBLISHED_KEYS as TRANSLATION_KEYS
from geodistill_core.models.ggcvt import UNUSED_KEYS as TRANSLATION_UNUSED_KEYS
from geodistill_core.models.overhead_features import OverheadGround, OverheadMap
from geodistill_core.models.portable import is_portable
from geodistill_core.models.pose_refiner import PoseRefiner, Refinement
from geodistill_core.models.published_overhead import KITTI_METRES_PER_PIXEL

SHIFT_RANGE_M = 20.0
HEADING_RANGE_RAD = math.radians(10.0)
"""Units of the refiner's poses."""

PUBLISHED_KEYS = (
    *TRANSLATION_KEYS,
    (r"^TransRefine\.level_1\.", "refiner.regressors.2."),
    (r"^TransRefine\.level_2\.", "refiner.regressors.1."),
    (r"^TransRefine\.level_4\.", "refiner.regressors.0."),
)
UNUSED_KEYS = tuple(pattern for pattern in TRANSLATION_UNUSED_KEYS if "TransRefine" not in pattern)


class GgcvtKittiRefined(GgcvtKitti):
    """`match` searches positions at given headings, as ever; `refine` finds a heading near a first guess."""

    def __init__(self, geometry: Geometry = "corrected", metres_per_pixel: float = KITTI_METRES_PER_PIXEL) -> None:
        super().__init__(geometry, metres_per_pixel)
        self.refiner = PoseRefiner(LEVEL_CHANNELS)

    def encode_map(self, tiles: MapInput) -> OverheadMap:
        """See the contract; all levels, since the refiner reads them (which has no portable form)."""
        return super().encode_map(tiles) if is_portable() else self.map_features(tiles, self.levels)

    def difference(
        self, ground: OverheadGround, map_features: OverheadMap, number: int, yaw_enu_rad: Tensor, pose: Tensor
    ) -> Tensor:
        """Projected minus map features [B, C, A, A] for poses [B, 3] relative to the headings [B] at the centre."""
        moved = torch.cat([pose[:, :2] * SHIFT_RANGE_M, torch.zeros_like(pose[:, 2:])], dim=1)
        source = replace(ground.source, mount=ground.source.mount + moved)
        heading = (yaw_enu_rad + pose[:, 2] * HEADING_RANGE_RAD).unsqueeze(1)
        projected, _ = self.projected(replace(ground, source=source), number, heading, map_features.metres_per_pixel)
        return unit_norm(projected) - map_features.features[number]

    def refine(
        self,
        ground: OverheadGround,
        map_features: OverheadMap,
        yaw_enu_rad: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Refinement]:
        """Headings [B] (rad) refined from first guesses [B] at the tile's centre, and every step on the way."""
        steps = self.refiner(
            lambda number, pose: self.difference(ground, map_features, number, yaw_enu_rad, pose),
            torch.zeros(len(yaw_enu_rad), 3, device=yaw_enu_rad.device),
            generator,
        )
        return yaw_enu_rad + steps.poses[:, -1, 2] * HEADING_RANGE_RAD, steps
