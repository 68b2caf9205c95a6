# SPDX-License-Identifier: Apache-2.0
"""`tiny` in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.base import GroundFeatures, GroundInput, MapFeatures, MapInput
from geodistill_core.models.correlation import correlate_all_pairs, correlation_map
from geodistill_core.models.tiny import Tiny
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.families.turns import turn, turn_back
from geodistill_training.recipe.objectives import SupervisedRecipe
from geodistill_training.targets import heatmap_cross_entropy, position_target, refuse_outside

_SEARCHED_CELLS = 64
_ENERGY_FLOOR = 1e-8
_BRACKET_DEG = 3.0
_LEAST_WRONG_DEG = 6.0


def yaw_hypotheses(rngs: Sequence[np.random.Generator], wrong: int, spread_deg: float) -> tuple[Tensor, Tensor]:
    """Headings minus the true one [B, 2 + wrong] (rad), and the true one's place between the first two [B].

    Two headings bracket the true one; the others are six degrees to `spread_deg` away.
    """
    shares, offsets = [], []
    for rng in rngs:
        share = rng.uniform(0, 1)
        size = rng.uniform(_LEAST_WRONG_DEG, spread_deg, wrong)
        away = np.sign(rng.uniform(-1, 1, wrong)) * size
        shares.append(share)
        offsets.append(np.concatenate([[-_BRACKET_DEG * share, _BRACKET_DEG * (1 - share)], away]))
    return torch.tensor(np.radians(offsets), dtype=torch.float32), torch.tensor(shares, dtype=torch.float32)


class TinyFamily(Family[MapFeatures, GroundFeatures]):
    """See `Family`; one level. The map is padded with what is not valid where the template would leave it."""

    network: Tiny
    turns = 8

    def begin_stage(self, template_cells: int | None) -> None:
        """See `Family`."""
        if template_cells is not None:
            device = self.network.log_scale.device
            self.network.set_template(template_cells)
            self.network.to(device)

    def maps(self, tiles: MapInput, turn_by: int = 0) -> MapFeatures:
        """See `Family`."""
        turned = MapInput(
            turn(tiles.rgb, turn_by).contiguous(), turn(tiles.valid, turn_by).contiguous(), tiles.metres_per_pixel
        )
        with self.encoding(tiles.rgb.device):
            encoded = self.network.encode_map(turned)
        missing = max(0, self.network.cells + _SEARCHED_CELLS - 1 - encoded.valid.shape[-1])
        margin = [(missing + 1) // 2, missing // 2] * 2
        features = turn_back(encoded.features.float(), turn_by)
        return MapFeatures(F.pad(features, margin), F.pad(turn_back(encoded.valid.float(), turn_by), margin))

    def mean_maps(self, maps: list[MapFeatures]) -> MapFeatures:
        """See `Family`."""
        return MapFeatures(torch.stack([m.features for m in maps]).mean(0), maps[0].valid)

    def ground(self, ground: GroundInput) -> GroundFeatures:
        """See `Family`."""
        with self.encoding(ground.pixels.device):
            return self.network.encode_ground(ground)

    def activations(self, ground: GroundInput) -> Tensor:
        """See `Family`."""
        return self.ground(ground).features

    def heatmaps(self, ground: GroundFeatures, maps: MapFeatures, yaw_enu_rad: Tensor) -> tuple[Tensor, ...]:
        """See `Family`."""
        return (self.network.similarity(ground, maps, yaw_enu_rad)[0],)

    def nearest(
        self, ground: GroundFeatures, maps: MapFeatures, yaw_enu_rad: Tensor, metres_per_pixel: Tensor
    ) -> tuple[Tensor, ...]:
        """See `Family`; cells have one width whatever the tile."""
        template, confidence = self.network.lay_out(ground, yaw_enu_rad[:, None])
        found = correlate_all_pairs(correlation_map(maps.features), template[:, 0], confidence[:, 0])
        energy = found.map_energy.clamp(min=_ENERGY_FLOOR) * found.ground_energy.clamp(min=_ENERGY_FLOOR)
        return ((found.numerator * torch.rsqrt(energy)).flatten(-2).amax(-1),)

    def joint_loss(self, batch: Batch, hypotheses: tuple[Tensor, Tensor], turn_by: int = 0) -> Tensor:
        """Cross-entropy of the heat map over positions and `yaw_hypotheses` at the batch's truth."""
        assert batch.truth is not None
        offsets, share = (x.to(batch.truth.device) for x in hypotheses)
        maps = self.maps(batch.maps, turn_by)
        ground = self.ground(batch.ground)
        (similarity,) = self.heatmaps(ground, maps, batch.truth[:, 2:3] + offsets)
        invalid = similarity.isneginf()  # multiplied, it would give the scale no gradient but NaN
        logits = (similarity.masked_fill(invalid, 0.0) * self.network.log_scale.exp()).masked_fill(invalid, -torch.inf)
        target = position_target(logits.shape[1:], batch.truth[:, :2], self.network.metres_per_cell, share)
        return heatmap_cross_entropy(logits, target)

    def supervised_loss(self, batch: Batch, options: SupervisedRecipe, rngs: Sequence[np.random.Generator]) -> Tensor:
        """See `Family`; the joint heat map's cross-entropy at the true place and heading."""
        refuse_outside(batch, self._reach_m(batch.maps))
        return self.joint_loss(batch, yaw_hypotheses(rngs, options.wrong_yaws, options.yaw_spread_deg))

    def _reach_m(self, tiles: MapInput) -> float:
        """How far from the tile's centre positions lie."""
        cells = max(tiles.rgb.shape[-1] // 2, self.network.cells + _SEARCHED_CELLS - 1)
        return (cells - self.network.cells) / 2 * self.network.metres_per_cell
