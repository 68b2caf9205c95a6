# SPDX-License-Identifier: Apache-2.0
"""What `torchrun` starts in tests: gradients of one global batch, and a run that may lose a process."""

import os
import signal
import sys
from pathlib import Path

import torch
from geodistill_training.data.batches import StepBatches
from geodistill_training.engine.learner import Learner
from geodistill_training.engine.training import train
from geodistill_training.engine.world import World, open_world
from noise_cities import DISTILL, WEAK, held_out, recipe_of, sets_of

OBJECTIVES = ("pretext", "weak", "distill", "supervised")
WITHIN_REACH = {"batch": 4, "augment": False}


def gradients(cities: Path, world: World) -> dict[str, dict[str, torch.Tensor]]:
    """Clipped gradients of the first global batch, by objective and parameter; the same in every process."""
    found = {}
    for name in OBJECTIVES:
        stage = {"name": name, "steps": 1, "learning_rate": 1e-3, "cycle": [name]}
        recipe = recipe_of(stage, **WITHIN_REACH)
        sets = {**sets_of(cities, recipe), "supervised": held_out(cities)}
        batches = StepBatches(recipe, {name: sets[name]}, world.rank, world.ranks)
        learner = Learner(recipe, world, {name: 1})
        learner.enter_stage(recipe.stages[0], begins=True)
        loss, _ = learner.objectives[name].loss(batches[0])
        learner.gradients(loss)
        found[name] = {key: p.grad.clone() for key, p in learner.network.named_parameters() if p.grad is not None}
    return found


def whole_run(cities: Path, run: Path, dies_before: int | None):
    """A run of five steps; the second process dies before one of them."""
    recipe = recipe_of({**WEAK, "steps": 3}, {**DISTILL, "steps": 2}, validation={"every_steps": 5, "examples": 4})
    learn = Learner.learn

    def learning(learner, batch):
        if batch.step == dies_before and learner.world.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return learn(learner, batch)

    Learner.learn = learning
    return train(recipe, run, sets_of(cities, recipe), held_out(cities), workers=0, snapshot_every_s=0)


if __name__ == "__main__":
    what, cities, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    world = open_world()
    if what == "all":
        found = gradients(cities, world)
        if world.main:
            torch.save(found, out / "gradients.pt")
        whole_run(cities, out / "whole", None)
    else:
        whole_run(cities, out / "cut", 2 if what == "die" else None)
