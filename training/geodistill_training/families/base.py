# SPDX-License-Identifier: Apache-2.0
"""What an objective may ask of a network while it learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, Literal

import numpy as np
import torch
from torch import Tensor

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork, GroundInput, GroundT, MapInput, MapT
from geodistill_training.data.examples import Batch
from geodistill_training.recipe.objectives import SupervisedRecipe

Masked = Literal["image", "features", "both"]
"""What a mask hides from a student: pixels, the features that come of them, or both."""


def hide(ground: GroundInput, mask: Tensor, masked: Masked) -> GroundInput:
    """`ground` without what `mask` [B, h, w] zeroes: black in the image, unseen in the features, or both."""
    pixels = ground.pixels if masked == "features" else ground.pixels * mask[:, None]
    visible = ground.visible if masked == "image" else ground.visible * mask
    return replace(ground, pixels=pixels, visible=visible)


class Family(ABC, Generic[MapT, GroundT]):
    """A network in training. Levels are ordered coarse to fine; the last one is what `match` answers with.

    `autocast` runs the encoders in bfloat16; matching stays in float32. `turns` is how many symmetries of the square
    `maps` knows, 1 or 8; `locates` whether it estimates positions at all.
    """

    turns: int = 1
    locates: bool = True

    def __init__(self, network: AnyNetwork, autocast: bool = False) -> None:
        self.network = network
        self.autocast = autocast

    def encoding(self, device: torch.device) -> torch.autocast:
        """The precision of the encoders."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.autocast)

    @abstractmethod
    def maps(self, tiles: MapInput, turn: int = 0) -> MapT:
        """Map features of every level, with gradients.

        `turn` (0..7) is a symmetry of the square applied to the tile and undone on its features: the weak objective
        cannot see a constant offset between map and ground features, and an offset that turns with the input cannot
        survive. Families whose encoders are told directions otherwise raise ConfigError for turns but 0.
        """

    @abstractmethod
    def ground(self, ground: GroundInput) -> GroundT:
        """Ground features of every level, with gradients."""

    def hidden_ground(self, ground: GroundInput, mask: Tensor, masked: Masked) -> GroundT:
        """Ground features of what `hide` leaves."""
        return self.ground(hide(ground, mask, masked))

    @abstractmethod
    def activations(self, ground: GroundInput) -> Tensor:
        """Ground features [B, C, h, w] of the finest level, on a grid that covers the image and nothing else."""

    @abstractmethod
    def heatmaps(self, ground: GroundT, maps: MapT, yaw_enu_rad: Tensor) -> tuple[Tensor, ...]:
        """Similarities [B, Y, P, P] of every level, coarse to fine, before any temperature; -inf where invalid."""

    def nearest(self, ground: GroundT, maps: MapT, yaw_enu_rad: Tensor, metres_per_pixel: Tensor) -> tuple[Tensor, ...]:
        """Best similarity [M, N] over positions of every map with every image at its yaw [N], level by level.

        `metres_per_pixel` [N] is that of each image's own tile.

        Raises:
            ConfigError: the family has no batch-wise contrast.
        """
        raise ConfigError(f"{type(self.network).__name__} has no weakly supervised objective; use method: supervised")

    def own_nearest(self, ground: GroundT, maps: MapT, yaw_enu_rad: Tensor) -> tuple[Tensor, ...]:
        """Best similarity [B, Y] of every image with its own map at yaws [B, Y], level by level."""
        return tuple(found.flatten(-2).amax(-1) for found in self.heatmaps(ground, maps, yaw_enu_rad))

    def mean_maps(self, maps: list[MapT]) -> MapT:
        """Features averaged over turns of the same tiles.

        Raises:
            ConfigError: the family knows no turns.
        """
        raise ConfigError(f"{type(self.network).__name__} cannot average turned maps; set turns: 1")

    def begin_stage(self, template_cells: int | None) -> None:
        """Set what a stage may choose.

        Raises:
            ConfigError: the family has a fixed template.
        """
        if template_cells is not None:
            raise ConfigError(f"template_cells {template_cells}: {type(self.network).__name__} has a fixed template")

    @abstractmethod
    def supervised_loss(self, batch: Batch, options: SupervisedRecipe, rngs: Sequence[np.random.Generator]) -> Tensor:
        """The network's own supervised loss at the batch's truth; `rngs` are for each row.

        Raises:
            ConfigError: a true place lies where the network does not search.
        """
