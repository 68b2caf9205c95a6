# SPDX-License-Identifier: Apache-2.0
"""The orientation network in training: it classifies headings and knows no positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.orientation import OrientationGround, OrientationMap, OrientationNetwork
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.objectives.records import every_tensor
from geodistill_training.recipe.objectives import SupervisedRecipe


class OrientationFamily(Family[OrientationMap, OrientationGround]):
    """See `Family`; whatever needs positions is refused."""

    network: OrientationNetwork
    locates = False

    def maps(self, tiles: MapInput, turn: int = 0) -> OrientationMap:
        """See `Family`; a turned tile would be another heading."""
        if turn:
            raise self._no_positions()
        with self.encoding(tiles.rgb.device):
            return every_tensor(self.network.encode_map(tiles), Tensor.float)

    def ground(self, ground: GroundInput) -> OrientationGround:
        """See `Family`."""
        with self.encoding(ground.pixels.device):
            return every_tensor(self.network.encode_ground(ground), Tensor.float)

    def activations(self, ground: GroundInput) -> Tensor:
        """Refused."""
        raise self._no_positions()

    def heatmaps(self, ground: OrientationGround, maps: OrientationMap, yaw_enu_rad: Tensor) -> tuple[Tensor, ...]:
        """Refused."""
        raise self._no_positions()

    def supervised_loss(self, batch: Batch, options: SupervisedRecipe, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Refused."""
        raise self._no_positions()

    def _no_positions(self) -> ConfigError:
        return ConfigError(f"{type(self.network).__name__} estimates no position; train it with method: orientation")
