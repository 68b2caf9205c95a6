# SPDX-License-Identifier: Apache-2.0
"""Where a verb's answer goes: a table for people or JSON for programs; progress stays on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table

from geodistill_core.printable import printable as printable  # noqa: PLC0414 - the verbs take it from here

JsonOption = Annotated[
    Optional[str],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
    typer.Option("--json", metavar="PATH", help="Write JSON to PATH; '-' prints it instead of the table."),
]

Step = Callable[..., None]


class Terminal(Console):
    """A console that shows text from recordings without obeying it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Segments of text, none of which holds a control character; colours are no part of the text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def console() -> Console:
    """Tables and answers: standard output."""
    return Terminal(highlight=False)


def notes() -> Console:
    """Progress and remarks: standard error."""
    return Terminal(stderr=True, highlight=False)


def emit(payload: Any, json_path: str | None, render: Callable[[Console], None]) -> None:
    """Print `payload` as JSON (`-`), or render it for people and write JSON to the path if one is given."""
    from geodistill_core.evaluation.files import to_json, write_json

    if json_path == "-":
        sys.stdout.write(to_json(payload))
        return
    if json_path is not None:
        write_json(Path(json_path), payload)
    render(console())


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Step]:
    """A progress bar on standard error, absent unless that is a terminal; yields `step(count, total)`."""
    shown = notes()
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=shown,
        disable=not shown.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=total)

        def step(count: int = 1, total: int | None = None) -> None:
            if total is not None:
                bar.update(task, total=total)
            bar.advance(task, count)

        yield step


def table(title: str, *columns: str) -> Table:
    """The house's table: first column left, the others right aligned."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right")
    return made


def number(value: Any, digits: int = 2, unit: str = "") -> str:
    """A figure with its unit, or a dash for a missing one."""
    return "–" if value is None else f"{value:.{digits}f}{unit}"
