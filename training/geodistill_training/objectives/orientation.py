# SPDX-License-Identifier: Apache-2.0
"""Soft-label classification of the heading (GeoDistill's orientation network).

Each ground image is drawn as an overhead picture for its heading prior, which the data set draws around the true
heading; the label is how much further counter-clockwise the vehicle really looks. True places are never read.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from geodistill_core.errors import ConfigError
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.families.orientation import OrientationFamily
from geodistill_training.objectives.base import Objective
from geodistill_training.orientation_losses import orientation_error, orientation_loss
from geodistill_training.recipe.recipe import Recipe

_ROUNDING_RAD = 1e-5


class OrientationObjective(Objective):
    """See the module. Rows whose prior is farther off than the classes reach are left out; `beyond` is their share.

    Raises:
        ConfigError: the network is none for headings.
    """

    labelled = True

    def __init__(self, family: Family[Any, Any], recipe: Recipe) -> None:
        super().__init__(family, recipe)
        if not isinstance(family, OrientationFamily):
            kind = type(family.network).__name__
            raise ConfigError(f"objective 'orientation' trains architecture 'geodistill_orientation', not {kind}")
        self.network = family.network

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `Objective`.

        Raises:
            ConfigError: the set gives no true heading, or every prior is farther off than the classes reach.
        """
        if batch.truth is None:
            raise ConfigError(
                f"{batch.keys[0]} comes without its heading; objective 'orientation' needs a labelled set"
            )
        classes = self.network.classes
        offset = torch.remainder(batch.truth[:, 2] - batch.yaw_enu_rad + math.pi, 2 * math.pi) - math.pi
        within = offset.abs() <= classes.range_rad / 2 + _ROUNDING_RAD
        if not bool(within.any()):
            raise ConfigError(
                f"{batch.keys[0]}: the heading is {math.degrees(float(offset[0])):.1f} degrees from its prior, the "
                f"classes reach {math.degrees(classes.range_rad / 2):.1f}; lower the data's heading noise"
            )
        ground, maps = self.family.ground(batch.ground), self.family.maps(batch.maps)
        logits, offset = self.network.yaw_logits(ground, maps)[within], offset[within]
        loss = orientation_loss(logits, offset, classes, self.recipe.orientation.sigma_classes)
        error = orientation_error(classes.decode(logits.detach()), offset, classes).mean()
        watched = {"orientation": float(loss.detach()), "error_deg": math.degrees(float(error))}
        return loss, {**watched, "beyond": 1.0 - float(within.float().mean())}
