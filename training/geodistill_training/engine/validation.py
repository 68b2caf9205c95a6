# SPDX-License-Identifier: Apache-2.0
"""How good a network is on held-out examples: by its own objective, without labels, and by truth where it exists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_training.data.batches import HeldOutBatches
from geodistill_training.data.examples import Batch, ExampleSet
from geodistill_training.engine.learner import Learner
from geodistill_training.engine.loading import load
from geodistill_training.families import Family
from geodistill_training.recipe.recipe import Recipe, StageRecipe

_HEADING_OFFSETS_DEG = (-12.0, -9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0, 12.0)


def place_of(network: AnyNetwork, heatmap: Tensor, metres_per_pixel: Tensor) -> Tensor:
    """Metres east and north of the tile's centre [B, 2] of the mode of heat maps [B, H, W]."""
    (H, W), cell_m = heatmap.shape[-2:], network.metres_per_cell * metres_per_pixel / network.metres_per_pixel
    index = heatmap.flatten(1).argmax(1)
    east, south = network.heatmap_shift_cells
    column, row = index % W - (W - 1) / 2 + east, index // W - (H - 1) / 2 + south
    return torch.stack([column * cell_m, -row * cell_m], dim=1)


def heading_of(similarity: Tensor, offsets_rad: Tensor) -> Tensor:
    """Offset [B] with the best similarity [B, Y] among evenly spaced ones, between two of them by a parabola."""
    best = similarity.argmax(1).clamp(1, len(offsets_rad) - 2)
    left, middle, right = (similarity.gather(1, (best + k)[:, None])[:, 0] for k in (-1, 0, 1))
    bend = (left - 2 * middle + right).clamp(max=-1e-9)
    shift = (0.5 * (left - right) / bend).nan_to_num(0.0).clamp(-1.0, 1.0)
    return offsets_rad[best] + shift * (offsets_rad[1] - offsets_rad[0])


def errors(family: Family[Any, Any], batch: Batch) -> Tensor:
    """Position error in metres at the heading prior, and heading error in degrees of a search around it, [B, 2]."""
    assert batch.truth is not None
    ground, maps = family.ground(batch.ground), family.maps(batch.maps)
    prior = batch.yaw_enu_rad[:, None]
    heatmap = family.heatmaps(ground, maps, prior)[-1][:, 0]
    place = place_of(family.network, heatmap, batch.maps.metres_per_pixel)
    offsets = torch.deg2rad(torch.tensor(_HEADING_OFFSETS_DEG, device=prior.device))
    found = batch.yaw_enu_rad + heading_of(family.own_nearest(ground, maps, prior + offsets)[-1], offsets)
    turned = torch.remainder(found - batch.truth[:, 2] + math.pi, 2 * math.pi) - math.pi
    return torch.stack([(place - batch.truth[:, :2]).norm(dim=1), torch.rad2deg(turned).abs()], dim=1)


class Validation:
    """Held-out examples, the same at every validation.

    Raises:
        ConfigError: the recipe's monitor asks for what these examples cannot tell.
    """

    def __init__(self, recipe: Recipe, examples: ExampleSet, learner: Learner, workers: int) -> None:
        self.recipe, self.learner, self.workers = recipe, learner, workers
        self.batches = HeldOutBatches(recipe, examples, learner.world.rank, learner.world.ranks)

    @torch.no_grad()
    def measure(self, stage: StageRecipe) -> tuple[dict[str, float], tuple[str, ...]]:
        """Figures of the network that the stage would ship, and which examples could not be read."""
        learner, world = self.learner, self.learner.world
        kept = learner.kept(stage)
        losses: list[Tensor] = []
        found: list[Tensor] = []
        broken: list[str] = []
        with evaluating(learner.network), evaluating(kept.network):
            for batch in load(self.batches, range(len(self.batches)), self.workers):
                here = batch.to(world.device)
                broken += batch.broken
                losses += self._loss(stage, here)
                if here.truth is not None and kept.locates:
                    found.append(world.gather_rows(errors(kept, here)))
        return self._figures(losses, found), tuple(broken)

    def _loss(self, stage: StageRecipe, batch: Batch) -> list[Tensor]:
        """The stage's own loss on a batch; nothing where it needs labels that a teacher would have to make first."""
        name = self.learner.judged(stage)
        if name is None or name == "pseudo":
            return []
        objective = self.learner.objectives[name]
        loss, _ = objective.loss(batch if objective.labelled else replace(batch, truth=None))
        return [self.learner.world.mean(loss)]

    def _figures(self, losses: list[Tensor], found: list[Tensor]) -> dict[str, float]:
        figures = {"loss": float(torch.stack(losses).mean())} if losses else {}
        if found:
            every = torch.cat(found).double()
            position, heading = every[:, 0], every[:, 1]
            figures |= {"mean_m": float(position.mean()), "median_m": float(position.quantile(0.5))}
            figures |= {"mean_deg": float(heading.mean()), "median_deg": float(heading.quantile(0.5))}
        monitor = self.recipe.validation.monitor
        if monitor != "loss" and monitor not in figures:
            raise ConfigError(f"validation.monitor {monitor} needs held-out examples with truth; set monitor: loss")
        return figures


@contextmanager
def evaluating(network: AnyNetwork) -> Iterator[None]:
    """The network in evaluation mode, and afterwards as it was."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
