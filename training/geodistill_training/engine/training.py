# SPDX-License-Identifier: Apache-2.0
"""The training loop. A run that was killed at any moment continues as if it had not been."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from geodistill_core.models.base import AnyNetwork
from geodistill_training.data.examples import ExampleSet
from geodistill_training.engine.interrupt import StopRequest
from geodistill_training.engine.loading import load, named_death_of_a_worker
from geodistill_training.engine.progress import Bar
from geodistill_training.engine.run_folder import RunFolder
from geodistill_training.engine.session import Session
from geodistill_training.engine.world import named_loss_of_a_rank, open_world
from geodistill_training.recipe.recipe import Objective, Recipe

SNAPSHOT_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run. `network` is what the last stage would ship, in evaluation mode, as after the last step.

    `last` and `best` are checkpoint folders (float32); `best` is `last` where nothing was validated. `history` are the
    validations: step and figures. `ended` says why the run ended before its last step, None where it did not.
    `waiting` is the share of this session's step time that was spent waiting for data.
    """

    network: AnyNetwork
    last: Path
    best: Path
    history: list[dict[str, float]]
    ended: str | None
    waiting: float


def train(
    recipe: Recipe,
    run: Path,
    sets: Mapping[Objective, ExampleSet],
    validation: ExampleSet | None,
    *,
    workers: int = 1,
    threads: int = 1,
    allow_config_change: bool = False,
    start: AnyNetwork | None = None,
    snapshot_every_s: float = SNAPSHOT_EVERY_S,
) -> Outcome:
    """Train, or continue the run in folder `run`; see `RunFolder` for what it holds.

    `sets` has the examples of every objective in the recipe's stages, `validation` held-out ones. `workers` processes
    make batches ahead. `start` is a network to begin from, instead of what the recipe says. Every process of a
    `torchrun` job calls this with the same arguments.

    Raises:
        ConfigError: the run folder belongs to another recipe (unless `allow_config_change`), or is in use.
        CheckpointError: the snapshot is damaged.
        DatasetError: more examples than the limit cannot be read.
        TrainingError: the run has gone wrong; the message says how, and what to change.
        KeyboardInterrupt: asked to stop; the snapshot is that of the last step.
    """
    torch.set_num_threads(threads)
    world = open_world()
    with ExitStack() as around:
        stop = around.enter_context(StopRequest())
        folder = around.enter_context(RunFolder(run, world.main))
        around.enter_context(named_loss_of_a_rank(world))
        around.enter_context(named_death_of_a_worker())
        session = Session(recipe, world, folder, sets, validation, workers, start)
        session.resume(allow_config_change)
        run_steps(session, stop, snapshot_every_s)
        last = run / "last"
        return Outcome(
            network=session.kept_network(),
            last=last,
            best=run / "best" if session.monitor.judged else last,
            history=session.history,
            ended=session.ended,
            waiting=session.waiting.share,
        )


def run_steps(session: Session, stop: StopRequest, snapshot_every_s: float) -> None:
    """Every step that is left of a run, or until a stop is asked for."""
    recipe, saved = session.recipe, time.monotonic()
    with Bar(recipe.steps, session.step, session.world.main) as bar:
        for batch in session.waiting.timed(load(session.batches, session.left(), session.workers)):
            stage, within = recipe.stage_at(batch.step)
            if within == 0:
                session.begin(stage)
            step = session.learner.learn(batch)
            session.check(batch, step)
            session.record(batch, step, bar)
            stage_ends = within + 1 == stage.steps
            if stage_ends or session.step % recipe.validation.every_steps == 0:
                session.validate(stage, bar)
            if stage_ends or session.ended or stop.made or time.monotonic() - saved > snapshot_every_s:
                session.save()
                saved = time.monotonic()
            if session.ended or stop.made:
                break
    if stop.made:
        session.folder.event(f"stopped by a signal after {session.step} steps")
        raise KeyboardInterrupt
