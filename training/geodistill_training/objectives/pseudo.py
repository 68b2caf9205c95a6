# SPDX-License-Identifier: Apache-2.0
"""Supervision by pseudo ground truth at coarse levels (adaptation paper): where the teacher looked, roughly.

A teacher is right about where it looked more often than about where exactly. So its mode becomes a Gaussian, and only
the coarse levels learn from it. CCVPE learns by its own InfoNCE over similarities. Networks with levels of their own
learn at the coarsest of those; a network of one level learns from its heat map summed over windows of 8, 4, 2 and 1
cells, of which the largest are the coarse ones.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from geodistill_core.models.ccvpe import LEVELS, Ccvpe
from geodistill_training.ccvpe_losses import adaptation_loss
from geodistill_training.ccvpe_targets import angles_deg, camera_heatmaps, heading_volumes
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.families.of import family_of
from geodistill_training.objectives.base import Objective
from geodistill_training.objectives.pyramid import (
    INVALID,
    POOLS,
    gaussian_mass,
    level_cells_m,
    pooled_logits,
    pooled_mass,
)
from geodistill_training.recipe.recipe import Recipe


class PseudoObjective(Objective):
    """See the module; `Batch.truth` is the pseudo ground truth, the teacher the network as it was at the start."""

    def __init__(self, family: Family[Any, Any], recipe: Recipe) -> None:
        super().__init__(family, recipe)
        self.options = recipe.adapt
        self._right = self.options.yaws_deg.index(0.0)
        self.teacher: Family[Any, Any] | None = None
        if self.options.target == "heatmap":
            self.teacher = family_of(copy.deepcopy(family.network).requires_grad_(False), family.autocast)

    def set_template(self, template_cells: int | None) -> None:
        """See `Objective`."""
        if self.teacher is not None:
            self.teacher.begin_stage(template_cells)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `Objective`."""
        assert batch.truth is not None
        network = self.family.network
        loss = self._info_nce(network, batch) if isinstance(network, Ccvpe) else self._cross_entropy(batch)
        return loss, {"pseudo": float(loss.detach())}

    def _info_nce(self, network: Ccvpe, batch: Batch) -> Tensor:
        """The published loss; a whole heat map is shared between headings as the Gaussian is."""
        if self.teacher is None:
            heatmaps = camera_heatmaps(network, batch, self.options.sigma_cells)
        else:
            with torch.no_grad():
                teacher = cast(Ccvpe, self.teacher.network)
                heatmaps = teacher.forward_all(batch.teacher_ground, batch.teacher_maps).heatmap
        levels = LEVELS if self.options.levels == "all" else self.options.coarse_levels
        volumes = heading_volumes(network, heatmaps, angles_deg(network, batch))
        output = network.decode(self.family.ground(batch.ground), self.family.maps(batch.maps))
        return adaptation_loss(output, volumes, levels=levels)

    def _cross_entropy(self, batch: Batch) -> Tensor:
        """Cross-entropy [] over headings and positions, averaged over levels."""
        maps, ground = self.family.maps(batch.maps), self.family.ground(batch.ground)
        logits = [x / self.options.temperature for x in self.family.heatmaps(ground, maps, self._headings(batch))]
        targets = self._gaussians(batch, logits) if self.teacher is None else self._heatmaps(self.teacher, batch)
        count = len(POOLS) if len(logits) == 1 else len(logits)
        if self.options.levels == "coarse":
            count = min(count, self.options.coarse_levels)
        if len(logits) == 1:
            logits, targets = _windows(logits[0], targets[0], POOLS[:count])
        return torch.stack([_soft_loss(x, t) for x, t in zip(logits[:count], targets[:count], strict=True)]).mean()

    def _headings(self, batch: Batch) -> Tensor:
        """Headings [B, Y] that are compared."""
        assert batch.truth is not None
        return batch.truth[:, 2:3] + torch.deg2rad(torch.tensor(self.options.yaws_deg, device=batch.truth.device))

    def _gaussians(self, batch: Batch, levels: list[Tensor]) -> list[Tensor]:
        """Targets [B, Y, P, P]: the pseudo label's heading has all the mass; sigma counts cells of the finest level."""
        assert batch.truth is not None
        network, targets = self.family.network, []
        cells_m = level_cells_m(network, batch.maps.metres_per_pixel)
        east_cells, south_cells = network.heatmap_shift_cells
        for logits, cell_m in zip(levels, cells_m, strict=True):
            place = torch.stack([batch.truth[:, 0], -batch.truth[:, 1]], dim=1) / cell_m[:, None]
            place = place - place.new_tensor([east_cells, south_cells])
            mass = gaussian_mass(logits.shape[-1], place, self.options.sigma_cells * cells_m[-1] / cell_m)
            right = F.one_hot(torch.tensor(self._right, device=mass.device), logits.shape[1]).to(mass)
            targets.append(mass[:, None] * right.view(1, -1, 1, 1))
        return targets

    @torch.no_grad()
    def _heatmaps(self, teacher: Family[Any, Any], batch: Batch) -> list[Tensor]:
        """The teacher's own heat maps [B, Y, P, P] of every level."""
        maps, ground = teacher.maps(batch.teacher_maps), teacher.ground(batch.teacher_ground)
        levels = teacher.heatmaps(ground, maps, self._headings(batch))
        return [(x.flatten(1) / self.options.temperature).softmax(dim=1).view_as(x) for x in levels]

    def state_dict(self) -> dict[str, Any]:
        """See `Objective`."""
        return {} if self.teacher is None else {"teacher": self.teacher.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Objective`."""
        if self.teacher is not None:
            self.teacher.network.load_state_dict(state["teacher"])


def _windows(logits: Tensor, target: Tensor, windows: tuple[int, ...]) -> tuple[list[Tensor], list[Tensor]]:
    return [pooled_logits(logits, w) for w in windows], [pooled_mass(target, w) for w in windows]


def _soft_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy; no mass is wanted where the map is not valid."""
    log_p = F.log_softmax(logits.clamp(min=INVALID).flatten(1), dim=1)
    wanted = (target * (logits > INVALID / 2)).flatten(1)
    wanted = wanted / wanted.sum(1, keepdim=True).clamp(min=torch.finfo(wanted.dtype).tiny)
    return -(wanted * log_p).sum(1).mean()
