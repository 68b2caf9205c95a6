# SPDX-License-Identifier: Apache-2.0
"""A run's folder: recipe, snapshot, figures of every step, events, and the best and the last checkpoint."""

from __future__ import annotations

import fcntl
import json
import logging
import math
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import yaml

from geodistill_core.errors import ConfigError, GeodistillError
from geodistill_training.engine.atomic import point_to, write_bytes, write_folder
from geodistill_training.recipe import Recipe

_log = logging.getLogger("geodistill.training")
Slot = Literal["best", "last"]


class RunFolder:
    """The folder of the one process that writes; others own one that does nothing.

    `best` and `last` are links into `checkpoints/`, since a link can be replaced in one step and a folder cannot.

    Raises:
        ConfigError: another process trains in this folder.
    """

    def __init__(self, path: Path, writes: bool) -> None:
        self.path, self.writes = path, writes
        self.snapshot = path / "snapshot.pt"
        self._scalars: Any = None
        self._written: dict[int, Path] = {}
        if not writes:
            return
        path.mkdir(parents=True, exist_ok=True)
        self._lock = (path / ".lock").open("w")
        try:
            # a record lock ends with its process, and forked loaders do not inherit it
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ConfigError(f"another process trains in {path}; wait for it or use another run folder") from error

    def open(self, recipe: Recipe, step: int) -> None:
        """Begin, or continue after `step` steps: figures of later ones, which will be made again, are dropped."""
        if not self.writes:
            return
        from torch.utils.tensorboard import SummaryWriter

        write_bytes(self.path / "recipe.yaml", recipe_yaml(recipe).encode())
        metrics = self.path / "metrics.jsonl"
        lines = metrics.read_bytes().splitlines(keepends=True) if metrics.is_file() else []
        write_bytes(metrics, b"".join(line for line in lines if _step(line) <= step))
        self._metrics = metrics.open("a")
        self._events = (self.path / "events.log").open("a")
        self._scalars = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1 if step else None)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.writes and self._scalars is not None:
            if isinstance(error, GeodistillError):
                self.event(f"ended by an error: {error}")
            self._scalars.close()
            self._metrics.close()
            self._events.close()
        if self.writes:
            self._lock.close()

    def figures(self, step: int, figures: Mapping[str, Any]) -> None:
        """One line of `metrics.jsonl`, null for what is not finite, and its numbers for TensorBoard."""
        if not self.writes:
            return
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in figures.items()}
        self._metrics.write(json.dumps({"step": step, **finite}) + "\n")
        for name, value in finite.items():
            if isinstance(value, float | int):
                self._scalars.add_scalar(name, value, step)

    def event(self, text: str, warn: bool = False) -> None:
        """A line of `events.log`."""
        if not self.writes:
            return
        self._events.write(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {text}\n")
        self._events.flush()
        _log.log(logging.WARNING if warn else logging.INFO, text)

    def flush(self) -> None:
        """Figures so far are in the files."""
        if self.writes:
            self._metrics.flush()
            self._scalars.flush()

    def checkpoint(self, slot: Slot, step: int, write: Callable[[Path], object]) -> None:
        """Make `best` or `last` the checkpoint of a step; checkpoints that neither points to are removed."""
        if not self.writes:
            return
        home = self.path / "checkpoints"
        if step not in self._written:
            home.mkdir(exist_ok=True)
            self._written[step] = write_folder(_unused(home, f"step-{step:07d}"), write)
        point_to(self.path / slot, self._written[step])
        used = {(self.path / name).resolve() for name in ("best", "last")}
        for folder in home.iterdir():
            if folder.resolve() not in used:
                shutil.rmtree(folder, ignore_errors=True)


def recipe_yaml(recipe: Recipe) -> str:
    """The effective recipe, with every default, as a file that `--config` reads."""
    return str(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))


def _unused(home: Path, name: str) -> Path:
    """A folder that no earlier session wrote: what it holds may come from another recipe."""
    names = (home / (name if k == 1 else f"{name}-{k}") for k in count(1))
    return next(path for path in names if not path.exists())


def _step(line: bytes) -> int:
    """The step of a line; one that was cut off counts as too late."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62
