# SPDX-License-Identifier: Apache-2.0
"""Batch-wise contrast (G2SWeakly's objective): a map fits its own image better than any other image of the batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_training import published_losses
from geodistill_training.data.examples import Batch
from geodistill_training.objectives.base import Objective
from geodistill_training.objectives.hide import view_masks
from geodistill_training.objectives.pyramid import level_cells_m
from geodistill_training.objectives.records import every_tensor

_LEAST_TURN_DEG = 10.0


def symmetric_contrast(best: Tensor, sharpness: float) -> Tensor:
    """A map's own image must fit it better than any other, and vice versa.

    `best` [M, M] are the all-pairs best similarities; the diagonal are the true pairs.
    """
    own = best.diagonal()
    off = ~torch.eye(len(best), dtype=torch.bool, device=best.device)
    by_map = F.softplus(sharpness * (best - own[:, None]))[off]
    by_image = F.softplus(sharpness * (best - own[None, :]))[off]
    return (by_map.mean() + by_image.mean()) / 2


class WeakObjective(Objective):
    """See the module. Turned negatives: an image fits its own map better at its heading than at a wrong one."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `Objective`."""
        options, rngs = self.recipe.weak, [self.rng(batch, row) for row in batch.rows.tolist()]
        maps = self.family.maps(batch.maps, int(self.rng(batch).integers(self.family.turns)))
        ground = self._ground(batch, rngs)
        everyones = every_tensor(maps, self.gather_rows)
        found = self.family.nearest(ground, everyones, batch.yaw_enu_rad, batch.maps.metres_per_pixel)
        levels = [self.gather_rows(best.T).T for best in found]
        loss = torch.stack([self._contrast(best) for best in levels]).mean()
        first = (levels[-1].argmax(1) == torch.arange(len(levels[-1]), device=loss.device)).float().mean()
        watched = {"weak": float(loss.detach()), "first_choice": float(first)}
        if options.gps_coefficient:
            gps = self._gps(batch, self.family.heatmaps(ground, maps, batch.yaw_enu_rad[:, None]))
            loss, watched["gps"] = loss + options.gps_coefficient * gps, float(gps.detach())
        if options.turned_negatives:
            turned = self._turned(batch, rngs)
            wrong = self.family.own_nearest(ground, maps, turned)
            own = [best.diagonal()[batch.rows, None] for best in levels]
            loss = (
                loss
                + torch.stack(
                    [F.softplus(options.sharpness * (w - o)).mean() for w, o in zip(wrong, own, strict=True)]
                ).mean()
            )
        return loss, watched

    def _ground(self, batch: Batch, rngs: list[np.random.Generator]) -> Any:
        visible_deg = self.recipe.weak.visible_deg
        if visible_deg is None:
            return self.family.ground(batch.ground)
        masks = view_masks(batch.ground, visible_deg, wrap=True, rngs=rngs)
        return self.family.hidden_ground(batch.ground, masks, "both")

    def _contrast(self, best: Tensor) -> Tensor:
        options = self.recipe.weak
        if options.form == "symmetric":
            return symmetric_contrast(best, options.sharpness)
        return published_losses.contrast(2 - 2 * best, options.sharpness / 2)

    def _gps(self, batch: Batch, levels: tuple[Tensor, ...]) -> Tensor:
        """The published term, for a fix at the tile's centre."""
        gaps = []
        for level, cell_m in zip(levels, level_cells_m(self.family.network, batch.maps.metres_per_pixel), strict=True):
            radius = torch.ceil(self.recipe.weak.gps_radius_m / cell_m).long()
            gaps.append(published_losses.gps_gap(2 - 2 * level[:, 0], level.new_zeros(len(level), 2), radius))
        return torch.stack(gaps).mean()

    def _turned(self, batch: Batch, rngs: list[np.random.Generator]) -> Tensor:
        """Headings [B, n] at least ten degrees from the prior."""
        n, rows = self.recipe.weak.turned_negatives, []
        for rng in rngs:
            size = rng.uniform(math.radians(_LEAST_TURN_DEG), math.pi, n)
            rows.append(size * rng.choice([-1.0, 1.0], n))
        away = torch.tensor(np.array(rows), dtype=torch.float32, device=batch.yaw_enu_rad.device)
        return batch.yaw_enu_rad[:, None] + away
