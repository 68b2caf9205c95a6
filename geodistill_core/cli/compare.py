# SPDX-License-Identifier: Apache-2.0
"""`geodistill compare`: whether one run is better than another over the same frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from geodistill_core.cli.output import JsonOption, emit, notes, progress, table

app = typer.Typer(add_completion=False)

SHOWN = {
    "position_error_m": ("position", " m", 1.0),
    "lateral_error_m": ("lateral", " m", 1.0),
    "longitudinal_error_m": ("longitudinal", " m", 1.0),
    "yaw_error_deg": ("yaw", "°", 1.0),
    "localized": ("localized", " %", 100.0),
}


@app.command()
def compare(
    baseline: Annotated[Path, typer.Argument(help="Run folder, or its table of frames (.csv, .parquet).")],
    runs: Annotated[list[Path], typer.Argument(help="Runs over the same frames to compare with it.")],
    *,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", help="Folder for compare.html and compare.json."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Say whether runs are better or worse than the first, or whether it is undecided.

    Frames are paired by name or stamp. Intervals come from a block bootstrap within each drive or city, because
    neighbouring frames of a drive err alike. Exits with 3 when frames of one run are missing in another.
    """
    from geodistill_core.evaluation.comparison.compare import compare as compare_runs
    from geodistill_core.evaluation.comparison.paired import named_apart, read_run
    from geodistill_core.evaluation.files import write_json
    from geodistill_core.evaluation.report.compare_page import render_comparison

    read = named_apart([read_run(path) for path in (baseline, *runs)])
    with progress("resampling", total=len(runs)) as step:
        comparison = compare_runs(read, step)
    summary = comparison.summary
    if output is not None:
        write_json(output / "compare.json", summary)
        (output / "compare.html").write_text(render_comparison(comparison), encoding="utf-8")
    emit(summary, json_path, lambda out: _print(out, summary))
    if output is not None:
        notes().print(f"[dim]page: {escape(str(output / 'compare.html'))}[/dim]")
    if any(one["only_baseline"] or one["only_this"] for one in summary["comparisons"]):
        raise typer.Exit(3)


def _print(out: Console, summary: Mapping[str, Any]) -> None:
    for one in summary["comparisons"]:
        shown = table(
            escape(f"{one['name']} against {summary['baseline']}"), "mean", "baseline", "this", "difference", "between"
        )
        for measure, (name, unit, scale) in SHOWN.items():
            if measure in one["figures"]:
                shown.add_row(name, *_row(one["figures"][measure]["mean"], unit, scale))
        out.print(shown)
        out.print()
        out.print(escape(f"{one['name']} is {one['verdict']}. {one['because']}"), soft_wrap=True)
        out.print(
            f"{one['pairs']} frames in both runs, {one['pairs_scored']} scored in both{_lost(one)}", soft_wrap=True
        )


def _row(one: Mapping[str, Any], unit: str, scale: float) -> tuple[str, ...]:
    return (
        f"{scale * one['baseline']:.2f}{unit}",
        f"{scale * one['this']:.2f}{unit}",
        f"{scale * one['difference']:+.3f}{unit}",
        f"{scale * one['low']:+.3f} … {scale * one['high']:+.3f}",
    )


def _lost(one: Mapping[str, Any]) -> str:
    lost = f"; left out: {one['only_baseline']} only in the baseline, {one['only_this']} only in this run"
    return lost if one["only_baseline"] or one["only_this"] else ""
