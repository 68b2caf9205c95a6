# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal; silent elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_MEMORY = 0.97


class Bar:
    """Stage, smoothed losses by objective, the latest validation and the share of time spent waiting for data."""

    def __init__(self, steps: int, step: int, shown: bool) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not (shown and console.is_terminal))
        self._task = self._progress.add_task("training", total=steps, completed=step)
        self._losses: dict[str, float] = {}
        self._validation = ""

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._progress.stop()

    def advance(self, step: int, stage: str, objective: str, loss: float, waiting: float) -> None:
        """One step is done."""
        mean = self._losses.get(objective, loss)
        self._losses[objective] = _MEMORY * mean + (1 - _MEMORY) * loss
        losses = " ".join(f"{name} {value:.3f}" for name, value in self._losses.items())
        text = f"{stage}: {losses}{self._validation}, waiting {waiting:.0%}"
        self._progress.update(self._task, completed=step, description=text)

    def validated(self, figures: dict[str, float]) -> None:
        """Show the figures from now on."""
        units = {"loss": "loss {:.3f}", "mean_m": "mean {:.2f} m", "median_deg": "{:.1f}°"}
        shown = ", ".join(units[name].format(figures[name]) for name in units if name in figures)
        self._validation = f" | held out: {shown}" if shown else ""
