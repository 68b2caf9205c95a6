# SPDX-License-Identifier: Apache-2.0
"""The network in training: what one step does to it, and nothing about files, guards or progress."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint
from geodistill_core.models.registry import build
from geodistill_training.data.examples import Batch
from geodistill_training.engine.world import World
from geodistill_training.families import Family, family_of
from geodistill_training.objectives.make import make_objective
from geodistill_training.recipe.recipe import Objective, Recipe, StageRecipe

# Replaced at every step; AdamW wants one at birth.
_FIRST_LEARNING_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did. `loss` is the mean over all rows, `watched` are the objective's own figures on this rank."""

    loss: float
    gradient_norm: float
    learning_rate: float
    watched: dict[str, float]

    @property
    def finite(self) -> bool:
        """Whether the step was taken."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


def initial_network(recipe: Recipe) -> AnyNetwork:
    """The network of a recipe with seeded weights, or with those of the checkpoint that it starts from.

    Raises:
        CheckpointError: the checkpoint is damaged or of another network.
    """
    torch.manual_seed(recipe.seed)
    made = recipe.network
    network = build(made.architecture, made.geometry, **made.arguments)
    if made.start is None:
        return network
    trained, manifest = load_checkpoint(made.start)
    try:
        network.load_state_dict(trained.state_dict(), strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{made.start} is a checkpoint of {manifest.architecture} {manifest.arguments}, the recipe trains "
            f"{made.architecture} {made.arguments}; give network.start a checkpoint of the same network"
        ) from error
    return network


def learning_rate(recipe: Recipe, stage: StageRecipe, within: int) -> float:
    """Linear warm-up, and half a cosine down to the stage's final share."""
    warm, last = min(1, (within + 1) / recipe.warm_up_steps), stage.final_share
    return stage.learning_rate * warm * (last + (1 - last) / 2 * (1 + math.cos(math.pi * within / stage.steps)))


class Learner:
    """A network, its objectives and its optimizer.

    `steps_per_epoch` counts the batches in one pass over the examples of each objective. `start` replaces the
    network that the recipe begins from; it is copied.
    """

    def __init__(
        self, recipe: Recipe, world: World, steps_per_epoch: Mapping[Objective, int], start: AnyNetwork | None = None
    ) -> None:
        self.recipe, self.world, self.steps_per_epoch = recipe, world, steps_per_epoch
        network = initial_network(recipe) if start is None else copy.deepcopy(start)
        self.network = network.train().to(world.device)
        self.family = family_of(self.network, recipe.precision == "bf16-mixed")
        used = {name for stage in recipe.stages for name in stage.cycle}
        self.objectives = {name: make_objective(name, self.family, recipe) for name in sorted(used)}
        for objective in self.objectives.values():
            objective.gather_rows = world.gather_rows
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=_FIRST_LEARNING_RATE, weight_decay=recipe.weight_decay
        )

    def enter_stage(self, stage: StageRecipe, begins: bool) -> None:
        """Set what the stage chooses; `begins` is False where a run resumes within it."""
        self.family.begin_stage(stage.template_cells)
        for objective in self.objectives.values():
            objective.set_template(stage.template_cells)
            if begins:
                objective.begin_stage()

    def learn(self, batch: Batch) -> Step:
        """One step; what is not finite changes nothing."""
        stage, within = self.recipe.stage_at(batch.step)
        name = self.recipe.objective_at(batch.step)
        objective, rate = self.objectives[name], learning_rate(self.recipe, stage, within)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seed_step(self.recipe.seed, batch.step, self.world.rank)
        self.optimizer.zero_grad(set_to_none=True)
        loss, watched = objective.loss(batch.to(self.world.device))
        mean, norm = float(self.world.mean(loss.detach())), math.nan
        if math.isfinite(mean):
            norm = float(self.gradients(loss))
        if math.isfinite(norm):
            self.optimizer.step()
            objective.after_step(self.steps_per_epoch[name])
        return Step(mean, norm, rate, watched)

    def gradients(self, loss: Tensor) -> Tensor:
        """Gradients of the whole batch, clipped; returns their norm before."""
        loss.backward()  # type: ignore[no-untyped-call]
        self.world.average_gradients(self.network)
        return torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip)

    def judged(self, stage: StageRecipe) -> Objective | None:
        """The objective that a stage is run for: the last of its cycle that compares views of a real camera."""
        return next((name for name in reversed(stage.cycle) if name != "pretext"), None)

    def kept(self, stage: StageRecipe) -> Family[Any, Any]:
        """What a stage would ship: its network, or the teacher."""
        name = self.judged(stage)
        return self.family if name is None else self.objectives[name].kept

    def bad_parameters(self) -> list[str]:
        """Names of parameters whose gradients are not finite."""
        grads = ((name, p.grad) for name, p in self.network.named_parameters() if p.grad is not None)
        return [name for name, grad in grads if not bool(torch.isfinite(grad).all())]

    def state_dict(self) -> dict[str, Any]:
        """What has been learned, for a snapshot."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "objectives": {name: objective.state_dict() for name, objective in self.objectives.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`; an objective that it does not know begins with the network as it is.

        Raises:
            ConfigError: it belongs to another network.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name, objective in self.objectives.items():
                if name in state["objectives"]:
                    objective.load_state_dict(state["objectives"][name])
                else:
                    objective.begin_stage()
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"the snapshot belongs to another network ({error}); use another run folder") from error


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make what torch draws in a step (dropout) a function of the step, so that resuming needs no generator's state."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0]))
