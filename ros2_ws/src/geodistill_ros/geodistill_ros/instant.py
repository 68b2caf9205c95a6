# SPDX-License-Identifier: Apache-2.0
"""`python -m geodistill_ros.instant`: the node with a network that takes no time, to see what everything else takes."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

from geodistill_core.localization import Localizer
from geodistill_core.models.base import AnyNetwork, CrossViewNetwork, GroundInput, MapInput
from geodistill_core.types import GroundImage
from geodistill_ros.engine import Engine, load_engine
from geodistill_ros.parameters import NodeParameters


class InstantNetwork(CrossViewNetwork[Any, Any]):
    """Prepares its inputs as `network` does, and answers each number of headings as it did the first time."""

    def __init__(self, network: AnyNetwork) -> None:
        super().__init__()
        self.network = network
        self.metres_per_pixel, self.metres_per_cell = network.metres_per_pixel, network.metres_per_cell
        self.template_extent_m, self.map_size_px = network.template_extent_m, network.map_size_px
        self.heatmap_shift_cells = network.heatmap_shift_cells
        self._ground: Any = None
        self._logits: dict[int, Tensor] = {}

    def prepare_ground(self, image: GroundImage) -> GroundInput:
        """See the contract."""
        return self.network.prepare_ground(image)

    def encode_map(self, tiles: MapInput) -> Any:
        """See the contract."""
        return self.network.encode_map(tiles)

    def encode_ground(self, ground: GroundInput) -> Any:
        """See the contract; the features of the first image."""
        if self._ground is None:
            self._ground = self.network.encode_ground(ground)
        return self._ground

    def match(self, ground: Any, map_features: Any, yaw_enu_rad: Tensor) -> Tensor:
        """See the contract; the first answer to as many headings."""
        count = yaw_enu_rad.shape[1]
        if count not in self._logits:
            self._logits[count] = self.network.match(ground, map_features, yaw_enu_rad)
        return self._logits[count]


def load_instant_engine(settings: NodeParameters) -> Engine:
    """`load_engine`, the network made instant."""
    engine = load_engine(settings)
    assert isinstance(engine.localizer, Localizer)
    engine.localizer.run_on(InstantNetwork(engine.localizer.network))
    return engine


if __name__ == "__main__":
    from geodistill_ros.node import main

    sys.exit(main(engine_factory=load_instant_engine))
