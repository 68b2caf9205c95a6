# SPDX-License-Identifier: Apache-2.0
"""The share of training time spent waiting for data: `python -m tests.benchmarks.loader_wait [RECIPE]`.

Runs steps of every objective of a recipe in the recipe's own proportions, as training does, but not what surrounds a
step. Rendering comes first and is not counted. The bar is a tenth.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from geodistill_training.data.batches import StepBatches
from geodistill_training.data.sets import open_sets
from geodistill_training.engine.learner import Learner, initial_network
from geodistill_training.engine.loading import Waiting, load
from geodistill_training.engine.world import open_world
from geodistill_training.recipe import Recipe, load_recipe

BAR = 0.10


def shortened(recipe: Recipe, steps: int, cities: int | None) -> Recipe:
    """The recipe with `steps` steps in all, shared as in the recipe, on fewer cities if asked for."""
    total = recipe.steps
    stages = [s.model_copy(update={"steps": max(len(s.cycle), round(s.steps * steps / total))}) for s in recipe.stages]
    data = recipe.data if cities is None else recipe.data.model_copy(update={"cities_per_style": cities})
    return recipe.model_copy(update={"stages": tuple(stages), "data": data})


def measure(recipe: Recipe, cache: Path, workers: int, threads: int) -> dict[str, float]:
    """Steps, seconds a step, and the share of time that the trainer waited."""
    sets = open_sets(recipe, initial_network(recipe), cache, max(1, workers))
    torch.set_num_threads(threads)
    world = open_world()
    batches = StepBatches(recipe, sets, world.rank, world.ranks)
    learner = Learner(recipe, world, {name: plan.steps_per_epoch for name, plan in batches.plans.items()})
    waiting, began, steps = Waiting(), time.monotonic(), 0
    for batch in waiting.timed(load(batches, range(recipe.steps), workers)):
        stage, within = recipe.stage_at(batch.step)
        if within == 0:
            learner.enter_stage(stage, begins=True)
        learner.learn(batch)
        steps += 1
    return {"steps": steps, "seconds_per_step": (time.monotonic() - began) / steps, "waiting_share": waiting.share}


def main() -> None:
    """Print the figures as JSON; exit code 1 above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default="tiny")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--cities", type=int, help="cities of each style, instead of the recipe's")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    recipe = shortened(load_recipe(asked.recipe), asked.steps, asked.cities)
    found = measure(recipe, asked.cache, asked.workers, asked.threads)
    about = {"recipe": asked.recipe, "workers": asked.workers, "threads": asked.threads, "batch": recipe.batch}
    print(json.dumps({**about, "machine": platform.processor() or platform.machine(), **found, "bar": BAR}, indent=2))
    raise SystemExit(found["waiting_share"] > BAR)


if __name__ == "__main__":
    main()
