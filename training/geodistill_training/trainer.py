# SPDX-License-Identifier: Apache-2.0
"""The training loop: stages of a recipe, EMA teacher, progress, atomic snapshots, resume."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import DataLoader

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.registry import build
from geodistill_core.models.tiny import Tiny
from geodistill_training.batches import Batch, StepBatches
from geodistill_training.recipe import Recipe, StageRecipe
from geodistill_training.steps import distill_loss, pretext_loss, weak_loss

_WARM_UP_STEPS = 100
_SNAPSHOT_EVERY_S = 60.0
_GRADIENT_CLIP = 1.0
_MAX_BAD_STEPS = 3


@dataclass
class TrainingState:
    """Everything that a resumed run needs."""

    network: Tiny
    teacher: Tiny
    optimizer: torch.optim.Optimizer
    step: int = 0
    bad_steps: int = 0

    def snapshot(self, path: Path, digest: str) -> None:
        """Write the state beside `path` and move it there in one step."""
        temporary = path.with_suffix(".partial")
        torch.save(
            {
                "digest": digest,
                "step": self.step,
                "network": self.network.state_dict(),
                "teacher": self.teacher.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            temporary,
        )
        os.replace(temporary, path)

    def restore(self, path: Path, digest: str) -> None:
        """Read a snapshot of the same recipe.

        Raises:
            CheckpointError: it belongs to another recipe.
        """
        stored = torch.load(path, weights_only=True)
        if stored["digest"] != digest:
            raise CheckpointError(
                f"{path} belongs to recipe {stored['digest']}, this is {digest}; use another run folder"
            )
        self.network.load_state_dict(stored["network"])
        self.teacher.load_state_dict(stored["teacher"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.step = int(stored["step"])


def fresh_state(recipe: Recipe) -> TrainingState:
    """Seeded initial weights; the teacher starts as a copy."""
    torch.manual_seed(recipe.seed)
    network = build(recipe.architecture)
    if not isinstance(network, Tiny):
        raise ConfigError(f"architecture {recipe.architecture!r} cannot be trained by this recipe kind; use 'tiny'")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
    return TrainingState(network, copy.deepcopy(network).requires_grad_(False), optimizer)


def learning_rate(stage: StageRecipe, within: int) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    warm = min(1.0, (within + 1) / _WARM_UP_STEPS)
    return stage.learning_rate * warm * (0.1 + 0.45 * (1 + math.cos(math.pi * within / stage.steps)))


def _loss(state: TrainingState, recipe: Recipe, stage: StageRecipe, batch: Batch) -> torch.Tensor:
    if "place_m" in batch:
        return stage.pretext * pretext_loss(state.network, batch)
    loss = torch.zeros(())
    if stage.contrastive:
        loss = loss + stage.contrastive * weak_loss(state.network, batch)
    if stage.distill:
        loss = loss + stage.distill * distill_loss(state.network, state.teacher, batch, recipe.temperature_sharpening)
    return loss


def _update_teacher(state: TrainingState, decay: float) -> None:
    with torch.no_grad():
        for slow, fast in zip(state.teacher.parameters(), state.network.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)


def train_step(state: TrainingState, recipe: Recipe, batch: Batch) -> float:
    """One optimizer step; a non-finite loss is skipped, and stops the run when it repeats.

    Raises:
        CheckpointError: the loss stayed non-finite.
    """
    stage, within = recipe.stage_at(state.step)
    state.network.set_template(stage.template_cells)
    state.teacher.set_template(stage.template_cells)
    if within == 0:
        state.teacher.load_state_dict(state.network.state_dict())
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(stage, within)
    loss = _loss(state, recipe, stage, batch)
    state.optimizer.zero_grad(set_to_none=True)
    if torch.isfinite(loss):
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), _GRADIENT_CLIP)
        state.optimizer.step()
        state.bad_steps = 0
    else:
        state.bad_steps += 1
        if state.bad_steps > _MAX_BAD_STEPS:
            raise CheckpointError(
                f"loss is not finite at step {state.step} for {state.bad_steps} steps; lower learning_rate"
            )
    if stage.distill and (within + 1) % recipe.teacher_period == 0:
        _update_teacher(state, recipe.teacher_decay)
    state.step += 1
    return float(loss.detach())


def _batches(recipe: Recipe, flats: list[Path], pairs: list[Path], start: int, workers: int) -> Iterator[Batch]:
    loader = DataLoader(
        StepBatches(recipe, flats, pairs),
        batch_size=None,
        sampler=range(start, recipe.steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    return iter(loader)


def train(recipe: Recipe, flats: list[Path], pairs: list[Path], run: Path, workers: int = 1) -> Tiny:
    """Train, or continue the run in folder `run`, and return the network."""
    run.mkdir(parents=True, exist_ok=True)
    state, path, digest = fresh_state(recipe), run / "snapshot.pt", recipe.digest()
    if path.is_file():
        state.restore(path, digest)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress, (run / "loss.csv").open("a") as log:
        task = progress.add_task("training", total=recipe.steps, completed=state.step)
        means: dict[str, float] = {}
        saved = time.monotonic()
        for batch in _batches(recipe, flats, pairs, state.step, workers):
            stage, _ = recipe.stage_at(state.step)
            kind = "pretext" if "place_m" in batch else "pairs"
            loss = train_step(state, recipe, batch)
            means[kind] = 0.97 * means.get(kind, loss) + 0.03 * loss
            log.write(f"{state.step},{stage.name},{kind},{loss:.5f}\n")
            progress.update(task, completed=state.step, description=f"{stage.name} {means}")
            if time.monotonic() - saved > _SNAPSHOT_EVERY_S or state.step == recipe.steps:
                log.flush()
                state.snapshot(path, digest)
                saved = time.monotonic()
    return state.network.eval()
