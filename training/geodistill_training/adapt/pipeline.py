# SPDX-License-Identifier: Apache-2.0
"""The adaptation paper's method on one screen: teacher, auxiliary student, filter, final student.

Each phase leaves its folder in the run (`teacher`, `auxiliary`, `final`), and a run that was interrupted goes on where
it stopped. Both students begin as copies of the teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geodistill_core.evaluation.files import write_json
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import Array
from geodistill_training.adapt.filter import change_m, keep
from geodistill_training.adapt.predictions import Predictions, stored
from geodistill_training.adapt.pseudo_set import PseudoLabelled
from geodistill_training.data.examples import ExampleSet
from geodistill_training.engine.training import SNAPSHOT_EVERY_S, Outcome, train
from geodistill_training.recipe.recipe import Recipe

PREDICTIONS = "predictions.npz"


@dataclass(frozen=True, slots=True)
class Target:
    """The new area: examples without labels, and where a network says that each of them was taken."""

    examples: ExampleSet
    predict: Callable[[AnyNetwork], Predictions]


@dataclass(frozen=True, slots=True)
class Engine:
    """How students are trained beside the recipe: loading processes, threads, and what they are validated on."""

    workers: int = 1
    threads: int = 1
    validation: ExampleSet | None = None
    allow_config_change: bool = False
    snapshot_every_s: float = SNAPSHOT_EVERY_S


def adapt(recipe: Recipe, run: Path, teacher: AnyNetwork, target: Target, engine: Engine) -> Outcome:
    """The final student and where it lies.

    Raises:
        ConfigError: too few examples are left for a batch.
    """
    said = stored(run / "teacher" / PREDICTIONS, lambda: target.predict(teacher))
    kept = np.arange(len(said))
    if recipe.adapt.filter:
        auxiliary = _student(recipe, run / "auxiliary", teacher, target, said, kept, engine).network
        again = stored(run / "auxiliary" / PREDICTIONS, lambda: target.predict(auxiliary))
        chosen = keep(change_m(said, again), recipe.adapt.kept_share)
        write_json(run / "filter.json", chosen.summary())
        kept = chosen.rows
    return _student(recipe, run / "final", teacher, target, said, kept, engine)


def _student(
    recipe: Recipe,
    run: Path,
    teacher: AnyNetwork,
    target: Target,
    said: Predictions,
    rows: Array,
    engine: Engine,
) -> Outcome:
    labelled = PseudoLabelled(target.examples, said, rows, recipe.seed)
    return train(
        recipe,
        run,
        {"pseudo": labelled},
        engine.validation,
        workers=engine.workers,
        threads=engine.threads,
        allow_config_change=engine.allow_config_change,
        start=teacher,
        snapshot_every_s=engine.snapshot_every_s,
    )
