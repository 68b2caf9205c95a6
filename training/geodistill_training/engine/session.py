# SPDX-License-Identifier: Apache-2.0
"""A run in this process: the learner with its data, guards, judges and folder, as of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import save_checkpoint
from geodistill_training.data.batches import StepBatches
from geodistill_training.data.examples import Batch, ExampleSet
from geodistill_training.describe import describe
from geodistill_training.engine.collapse import CollapseGuard
from geodistill_training.engine.guards import BrokenGuard, FiniteGuard
from geodistill_training.engine.learner import Learner, Step
from geodistill_training.engine.loading import Waiting
from geodistill_training.engine.monitor import Monitor
from geodistill_training.engine.progress import Bar
from geodistill_training.engine.run_folder import RunFolder
from geodistill_training.engine.snapshot import Snapshot, read_snapshot, refuse_other_recipe
from geodistill_training.engine.validation import Validation
from geodistill_training.engine.world import World
from geodistill_training.recipe.recipe import Objective, Recipe, StageRecipe


class Session:
    """See the module; `step` is the next one.

    Raises:
        ConfigError: batches cannot be shared by the processes, or the recipe watches what no held-out example tells.
    """

    def __init__(
        self,
        recipe: Recipe,
        world: World,
        folder: RunFolder,
        sets: Mapping[Objective, ExampleSet],
        validation: ExampleSet | None,
        workers: int,
        start: AnyNetwork | None,
    ) -> None:
        if recipe.batch % world.ranks:
            raise ConfigError(f"batch {recipe.batch} cannot be shared by {world.ranks} processes; make it a multiple")
        if validation is None and (recipe.validation.patience or recipe.validation.monitor != "loss"):
            raise ConfigError("validation.patience and validation.monitor need held-out examples; there are none")
        self.recipe, self.world, self.folder, self.workers = recipe, world, folder, workers
        self.batches = StepBatches(recipe, sets, world.rank, world.ranks)
        epochs = {name: plan.steps_per_epoch for name, plan in self.batches.plans.items()}
        self.learner = Learner(recipe, world, epochs, start)
        self.validation = None if validation is None else Validation(recipe, validation, self.learner, workers)
        self.monitor = Monitor(recipe.validation.monitor, recipe.validation.patience)
        self.finite, self.collapse = FiniteGuard(folder.path), CollapseGuard()
        self.broken = BrokenGuard(sum(len(s) for s in {id(s): s for s in sets.values()}.values()))
        self.waiting = Waiting()
        self.step = 0
        self.ended: str | None = None
        self.history: list[dict[str, float]] = []

    def resume(self, allow_config_change: bool) -> None:
        """Continue from the folder's snapshot, if it has one.

        Raises:
            ConfigError: it was made with another recipe.
            CheckpointError: it is damaged.
        """
        path = self.folder.snapshot
        stored = self.world.share(read_snapshot(path) if self.world.main else None)
        if stored is not None:
            if not allow_config_change:
                refuse_other_recipe(stored.recipe, self.recipe, path)
            self.learner.load_state_dict(stored.learned)
            self._load_watched(stored.watched)
            self.step, self.ended = stored.step, stored.ended
            if self.step:
                self.learner.enter_stage(self.recipe.stage_at(self.step - 1)[0], begins=False)
        self.folder.open(self.recipe, self.step)
        said = "started" if stored is None else f"continued before step {self.step}"
        self.folder.event(f"{said}, {self.world.ranks} process(es), {self.world.device}")

    def left(self) -> Sequence[int]:
        """The steps that are left."""
        return range(self.step, self.step if self.ended else self.recipe.steps)

    def begin(self, stage: StageRecipe) -> None:
        """A stage begins."""
        self.learner.enter_stage(stage, begins=True)
        self.monitor.begin_stage()
        self.folder.event(f"stage {stage.name}: {stage.steps} steps of {', '.join(stage.cycle)}")

    def check(self, batch: Batch, step: Step) -> None:
        """Let the guards look at a step; see them for what they raise."""
        for name in self.broken.check(batch):
            self.folder.event(f"skipped and replaced: {name}", warn=True)
        skipped = self.finite.check(self.learner, batch, step)
        if skipped is not None:
            self.folder.event(f"{skipped}; examples {', '.join(batch.keys)}", warn=True)
        self.collapse.check(batch.step, step.watched)

    def record(self, batch: Batch, step: Step, bar: Bar) -> None:
        """A step is done: its figures go to the folder and the terminal."""
        self.step = batch.step + 1
        stage, objective = self.recipe.stage_at(batch.step)[0], self.recipe.objective_at(batch.step)
        figures = {"loss": step.loss, **step.watched, "gradient_norm": step.gradient_norm}
        tagged = {f"{objective}/{name}": value for name, value in figures.items()}
        rest = {"learning_rate": step.learning_rate, "waiting": round(self.waiting.share, 4)}
        self.folder.figures(self.step, {"stage": stage.name, **tagged, **rest})
        bar.advance(self.step, stage.name, objective, step.loss, self.waiting.share)

    def validate(self, stage: StageRecipe, bar: Bar) -> None:
        """Judge what the stage would ship, and keep it as the last and perhaps the best checkpoint."""
        figures: dict[str, float] = {}
        if self.validation is not None:
            figures, broken = self.validation.measure(stage)
            for name in broken:
                self.folder.event(f"skipped and replaced in validation: {name}", warn=True)
            self.history.append({"step": self.step, **figures})
            self.folder.figures(self.step, {f"validation/{name}": value for name, value in figures.items()})
            bar.validated(figures)
        network = self.learner.kept(stage).network
        described = describe(self.recipe, network)
        write = partial(save_checkpoint, network=network, description=described, dtype=torch.float32)
        self.folder.checkpoint("last", self.step, write)
        if self.monitor.improved(figures, self.step):
            self.folder.checkpoint("best", self.step, write)
        if self.monitor.exhausted:
            self.ended = f"{self.monitor.name} has not improved for {self.monitor.waited} validations"
            self.folder.event(
                f"ended after {self.step} steps: {self.ended}; the best was after {self.monitor.best_step}"
            )

    def save(self) -> None:
        """Write the snapshot; files of figures are as far as it is."""
        self.folder.flush()
        if self.world.main:
            recipe, learned = self.recipe.model_dump(mode="json"), self.learner.state_dict()
            Snapshot(recipe, self.step, learned, self._watched(), self.ended).save(self.folder.snapshot)

    def kept_network(self) -> AnyNetwork:
        """What the run would ship, in evaluation mode."""
        return self.learner.kept(self.recipe.stage_at(self.step - 1)[0]).network.eval()

    def _watched(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor.state_dict(),
            "not_finite": self.finite.skipped,
            "collapse": self.collapse.rows,
            "broken": sorted(self.broken.names),
            "history": self.history,
        }

    def _load_watched(self, state: dict[str, Any]) -> None:
        self.monitor.load_state_dict(state["monitor"])
        self.finite.skipped, self.collapse.rows = state["not_finite"], state["collapse"]
        self.broken.names, self.history = set(state["broken"]), state["history"]
