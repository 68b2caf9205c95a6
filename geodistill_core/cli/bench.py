# SPDX-License-Identifier: Apache-2.0
"""`geodistill bench`: how long each network takes on this machine."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, progress, table

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    networks: Annotated[
        Optional[list[str]],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Argument(help="Architectures to measure; all when none is named."),
    ] = None,
    geometry: Annotated[str, typer.Option(help="compat (published conventions) or corrected.")] = "corrected",
    runs: Annotated[int, typer.Option(help="Timed passes of each network.")] = 9,
    threads: Annotated[int, typer.Option(help="Threads that torch uses.")] = 2,
    yaws: Annotated[int, typer.Option(help="Heading hypotheses of a match.")] = 1,
    backbone: Annotated[bool, typer.Option("--backbone", help="Time DINOv2 too, with random weights.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Latency of each network's map, ground and match, at its published input sizes with fresh weights."""
    from geodistill_core.errors import ConfigError
    from geodistill_core.evaluation.latency import BenchOptions
    from geodistill_core.evaluation.latency import bench as measure
    from geodistill_core.models.registry import ARCHITECTURES, architecture

    if geometry not in ("compat", "corrected"):
        raise ConfigError(f"geometry {geometry!r} is neither compat nor corrected")
    names = [name for name in networks or sorted(ARCHITECTURES) if architecture(name)]
    options = BenchOptions("compat" if geometry == "compat" else "corrected", runs, threads, yaws, backbone)
    with progress("measuring", total=len(names) * runs) as step:
        result = measure(names, options, step)
    emit(result, json_path, lambda out: _render(out, result))


def _render(out: Console, result: dict[str, Any]) -> None:
    title = f"median of {result['runs']} passes, {result['machine']['threads']} threads, fp32, milliseconds (p90)"
    shown = table(title, "network", "map", "ground", "match", "seen tile", "new tile", "M parameters", "GMAC")
    for row in result["networks"]:
        stages = row["stages"]
        cells = [*(stages[stage] for stage in ("map", "ground", "match")), row["seen_tile"], row["new_tile"]]
        shown.add_row(
            row["name"],
            *(f"{cell['median_ms']:.0f} ({cell['p90_ms']:.0f})" for cell in cells),
            f"{row['parameters'] / 1e6:.1f}",
            f"{sum(stage['gmacs'] for stage in stages.values()):.1f}",
        )
    out.print(shown)
    out.print(f"DINOv2: {result['backbone']}")
