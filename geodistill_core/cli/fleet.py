# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay` with several drives: where they run, and what is printed about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from geodistill_core.cli.output import emit, notes, number, progress, table
from geodistill_core.cli.summary import is_partial, print_summary

if TYPE_CHECKING:
    from geodistill_core.evaluation.fleet.jobs import Fate, Runner
    from geodistill_core.evaluation.replay import ReplayPlan

JobsOption = Annotated[
    Optional[int],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
    typer.Option("-j", "--jobs", min=1, max=256, help="Drives that run at a time (default: 1; with --ray no limit)."),
]
RayOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--ray",
        metavar="ADDRESS|local",
        help="Spread drives over a Ray cluster (auto, HOST:PORT, ray://HOST:PORT), or a private one on this machine.",
    ),
]


def replay_fleet(
    drives: Sequence[Path],
    folder: Path,
    plan: ReplayPlan,
    *,
    jobs: int | None,
    ray: str | None,
    json_path: str | None,
) -> None:
    """Replay drives into `FOLDER/drives/NAME`, merge them in the folder; ends with 3 if a frame or drive was lost."""
    from geodistill_core.evaluation.fleet.drive import fleet_work
    from geodistill_core.evaluation.fleet.jobs import drive_jobs
    from geodistill_core.evaluation.fleet.merge import run_fleet

    planned, work, runner = drive_jobs(drives, folder), fleet_work(plan), _runner(jobs, ray)
    shown = notes()
    with progress(f"replay {len(planned)} drives", total=len(planned)) as step:

        def tell(fate: Fate) -> None:
            step()
            if fate.problem is not None:
                shown.print(f"[red]{fate.name}: {escape(fate.problem)}[/red]", soft_wrap=True)
            elif fate.kept:
                shown.print(f"[dim]{fate.name}: done before, kept[/dim]")

        summary = run_fleet(planned, folder, work, runner, tell)
    emit(summary, json_path, lambda out: print_fleet(out, summary))
    shown.print(f"[dim]report: {escape(str(folder / 'report.html'))}[/dim]", soft_wrap=True)
    if summary["failed"] or any(is_partial(run) for run in summary["drives"].values()):
        raise typer.Exit(3)


def _runner(jobs: int | None, ray: str | None) -> Runner:
    from geodistill_core.evaluation.fleet.cluster import on_ray
    from geodistill_core.evaluation.fleet.jobs import one_by_one
    from geodistill_core.evaluation.fleet.processes import in_processes

    if ray is not None:
        return on_ray(ray, jobs)
    return one_by_one if jobs in (None, 1) else in_processes(jobs)


def print_fleet(out: Console, summary: Mapping[str, Any]) -> None:
    """All frames together, then a row for each drive."""
    print_summary(out, summary)
    shown = table("drives", "drive", "frames", "median", "p90", "max", "yaw")
    for name, run in summary["drives"].items():
        position = run["position_error_m"]
        cells = (number(position[key], 2, " m") for key in ("median", "p90", "max"))
        frames = f"{run['frames_localized']} of {run['frames']}"
        shown.add_row(name, frames, *cells, number(run["yaw_error_deg"]["median"], 2, "°"))
    out.print()
    out.print(shown)
    for name, problem in sorted(summary["failed"].items()):
        out.print(f"[red]{name} could not be run: {escape(problem)}[/red]", soft_wrap=True)
