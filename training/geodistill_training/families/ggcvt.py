# SPDX-License-Identifier: Apache-2.0
"""GGCVT in training; with its pose refiner the heading is refined, and learnt, on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from geodistill_core.models.ggcvt import Ggcvt
from geodistill_core.models.ggcvt_refined import GgcvtKittiRefined
from geodistill_core.models.overhead_features import OverheadGround, OverheadMap
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.families.overhead import OverheadFamily


class GgcvtFamily(OverheadFamily):
    """See `Family`; three levels. Published trainings know the true place, there is no batch-wise contrast."""

    network: Ggcvt

    def nearest(
        self, ground: OverheadGround, maps: OverheadMap, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, ...]:
        """Refused, as `Family.nearest` says."""
        return Family.nearest(self, ground, maps, yaw_enu_rad, metres_per_pixel)

    def heading(
        self, ground: OverheadGround, maps: OverheadMap, batch: Batch, rngs: Sequence[np.random.Generator]
    ) -> Tensor:
        """See the base class; what the pose refiner makes of the heading prior where the network has one."""
        if not isinstance(self.network, GgcvtKittiRefined):
            return super().heading(ground, maps, batch, rngs)
        generator = torch.Generator().manual_seed(int(rngs[0].integers(2**32)))
        return self.network.refine(ground, maps, batch.yaw_enu_rad, generator)[0]

    @property
    def over_levels(self) -> Literal["mean", "sum"]:
        """See the base class."""
        return "sum"
