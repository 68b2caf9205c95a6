# SPDX-License-Identifier: Apache-2.0
"""Networks that slide ground features over a map (G2SWeakly's and GeoDistill's) in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.correlation import CorrelationMap, correlate_all_pairs
from geodistill_core.models.overhead_features import OverheadGround, OverheadMap
from geodistill_core.models.overhead_matching import OverheadMatcher, masked_similarity
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.families.turns import turn, turn_back
from geodistill_training.published_losses import BATCH_FLOOR, triplet_loss
from geodistill_training.recipe.objectives import SupervisedRecipe
from geodistill_training.targets import refuse_outside


class OverheadFamily(Family[OverheadMap, OverheadGround]):
    """See `Family`; all of the network's trained levels, every row of them.

    Published trainings turn no tiles, so that only exact geometry knows turns.
    """

    network: OverheadMatcher

    def __init__(self, network: OverheadMatcher, autocast: bool = False) -> None:
        super().__init__(network, autocast)
        self.turns = 8 if network.geometry == "corrected" else 1

    def maps(self, tiles: MapInput, turn_by: int = 0) -> OverheadMap:
        """See `Family`."""
        with self.encoding(tiles.rgb.device):
            levels = self.network.map_levels(turn(tiles.rgb, turn_by), self.network.levels)
        features = {number: turn_back(found.float(), turn_by).contiguous() for number, found in levels.items()}
        return self.network.map_of(features, tiles)

    def ground(self, ground: GroundInput) -> OverheadGround:
        """See `Family`."""
        with self.encoding(ground.pixels.device):
            found = self.network.ground_features(ground, self.network.levels)
        features = {number: x.float() for number, x in found.features.items()}
        confidence = {number: None if x is None else x.float() for number, x in found.confidence.items()}
        return replace(found, features=features, confidence=confidence)

    def activations(self, ground: GroundInput) -> Tensor:
        """See `Family`; what continues the image beyond its borders is left out."""
        number, (height, width) = self.network.levels[-1], ground.pixels.shape[-2:]
        features = self.network.ground_features(ground, (number,)).features[number]
        cells = self.network.level(number).ground
        rows, columns = (torch.arange(round(side / cells.stride)) + 0.5 for side in (height, width))
        column, row = cells.index(columns * width / len(columns) - 0.5, rows * height / len(rows) - 0.5)
        return features[:, :, row.round().long()][..., column.round().long()]

    def heatmaps(self, ground: OverheadGround, maps: OverheadMap, yaw_enu_rad: Tensor) -> tuple[Tensor, ...]:
        """See `Family`."""
        levels = self.network.levels
        templates = self.network.templates(ground, levels, yaw_enu_rad, maps.metres_per_pixel)
        found = {number: self.network.correlated(maps, number, *templates[number]) for number in levels}
        return tuple(masked_similarity(found[n], maps.correlation[n], self.network.floor) for n in levels)

    def nearest(
        self, ground: OverheadGround, maps: OverheadMap, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, ...]:
        """See `Family`; with the published floor in `compat`."""
        floor = BATCH_FLOOR if self.network.geometry == "compat" else self.network.floor
        levels = self.network.levels
        templates = self.network.templates(ground, levels, yaw_enu_rad[:, None], metres_per_pixel)
        best = []
        for number in levels:
            spectra = _without_yaws(maps.correlation[number])
            template, confidence = (None if x is None else x[:, 0] for x in templates[number])
            assert template is not None
            found = correlate_all_pairs(spectra, template, confidence)
            best.append(masked_similarity(found, spectra, floor).flatten(-2).amax(-1))
        return tuple(best)

    def heading(
        self, ground: OverheadGround, maps: OverheadMap, batch: Batch, rngs: Sequence[np.random.Generator]
    ) -> Tensor:
        """Headings [B] at which the supervised loss looks: the true ones."""
        assert batch.truth is not None
        return batch.truth[:, 2]

    @property
    def over_levels(self) -> Literal["mean", "sum"]:
        """How published trainings put the levels' triplet losses together."""
        return "mean" if self.network.panoramic else "sum"

    def supervised_loss(self, batch: Batch, options: SupervisedRecipe, rngs: Sequence[np.random.Generator]) -> Tensor:
        """See `Family`; the published triplet loss of the true cell against every other."""
        assert batch.truth is not None
        maps, ground = self.maps(batch.maps), self.ground(batch.ground)
        found = self.heatmaps(ground, maps, self.heading(ground, maps, batch, rngs)[:, None])
        right_down_m = batch.truth[:, :2] * batch.truth.new_tensor([1.0, -1.0])
        distances, offsets = [], []
        for number, similarity in zip(self.network.levels, found, strict=True):
            cell_m = self.network.level(number).map_stride * batch.maps.metres_per_pixel
            refuse_outside(batch, (similarity.shape[-1] - 1) / 2 * cell_m)
            distances.append(2 - 2 * similarity[:, 0])
            offsets.append(right_down_m / cell_m[:, None])
        return triplet_loss(distances, offsets, self.over_levels)


def _without_yaws(maps: CorrelationMap) -> CorrelationMap:
    """Spectra [B, 1, ...] that serve all yaws as those [B, ...] of the maps themselves."""
    weight = None if maps.weight is None else maps.weight.squeeze(1)
    tensors = (maps.features.squeeze(1), maps.energy.squeeze(1), weight, maps.integral.squeeze(1))
    return CorrelationMap(*tensors, maps.size)
