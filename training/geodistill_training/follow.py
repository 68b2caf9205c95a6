# SPDX-License-Identifier: Apache-2.0
"""A recipe from its data to a trained network, in every process of a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_training.adapt.pipeline import Engine, Target, adapt
from geodistill_training.adapt.predictions import predict
from geodistill_training.data.examples import ExampleSet
from geodistill_training.data.sets import open_examples, open_sets, open_validation, refuse_shared
from geodistill_training.engine.learner import initial_network
from geodistill_training.engine.training import SNAPSHOT_EVERY_S, Outcome, train
from geodistill_training.engine.world import World
from geodistill_training.recipe.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine offers and where it keeps things; nothing here is meant to change the weights.

    `workers` processes make batches ahead, `threads` compute (another number rounds otherwise).
    """

    cache: Path
    workers: int = 1
    threads: int = 1
    allow_config_change: bool = False
    snapshot_every_s: float = SNAPSHOT_EVERY_S


def follow(recipe: Recipe, run: Path, machine: Machine, world: World) -> Outcome:
    """Open the data and train, or continue the run in folder `run`.

    Raises:
        GeodistillError: see `open_sets`, `train` and `adapt`.
    """
    reader = initial_network(recipe)
    renderers = max(1, machine.workers, machine.threads)
    if recipe.method == "adapt":
        return _adapt(recipe, run, machine, world, reader)
    with world.one_by_one():
        sets = open_sets(recipe, reader, machine.cache, renderers)
        validation = open_validation(recipe, reader, machine.cache, renderers)
    refuse_shared(sets.values(), validation)
    return train(
        recipe,
        run,
        sets,
        validation,
        workers=machine.workers,
        threads=machine.threads,
        allow_config_change=machine.allow_config_change,
        snapshot_every_s=machine.snapshot_every_s,
    )


def _adapt(recipe: Recipe, run: Path, machine: Machine, world: World, teacher: AnyNetwork) -> Outcome:
    """The adaptation paper's method on a data set without labels."""
    if recipe.network.start is None:
        raise ConfigError("an adaptation begins with a trained teacher; set network.start to its checkpoint")
    if world.ranks > 1:
        raise ConfigError(f"method adapt trains in one process, not {world.ranks}; start it without torchrun")
    renderers = max(1, machine.workers, machine.threads)
    examples = open_examples(recipe.data, recipe, teacher, machine.cache, renderers, labels=False)
    validation: ExampleSet | None = open_validation(recipe, teacher, machine.cache, renderers)
    refuse_shared([examples], validation)
    target = Target(examples, lambda network: predict(network, examples, recipe.adapt, recipe.seed))
    engine = Engine(machine.workers, machine.threads, validation, machine.allow_config_change, machine.snapshot_every_s)
    return adapt(recipe, run, teacher.eval(), target, engine)
