# SPDX-License-Identifier: Apache-2.0
"""`geodistill train`: recipes to checkpoints."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer
import yaml

app = typer.Typer(help="Train networks without position labels.", no_args_is_help=True)


@app.callback()
def train() -> None:
    """Train networks without position labels."""


@app.command()
def weak(
    config: Annotated[str, typer.Option(help="A shipped recipe's name or a YAML file.")] = "tiny",
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint folder to write.")] = Path(
        "runs/tiny/checkpoint"
    ),
    run: Annotated[
        Path, typer.Option(help="Run folder: snapshot, loss log; an interrupted run continues here.")
    ] = Path("runs/tiny"),
    cache: Annotated[Path, typer.Option(help="Where rendered cities are kept.")] = Path("runs/cache"),
    threads: Annotated[int, typer.Option(min=1, help="Threads of the training process.")] = os.cpu_count() or 1,
    calibration_pairs: Annotated[int, typer.Option(min=20, help="Held-out pairs for the temperature.")] = 200,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the effective recipe and stop.")] = False,
    json_path: Annotated[
        str | None, typer.Option("--json", help="Write a summary to PATH, or - for standard output.")
    ] = None,
) -> None:
    """Flat-world pretext, batch-wise contrast and self-distillation on rendered cities; resumable."""
    from geodistill_training.recipe import load_recipe

    recipe = load_recipe(config)
    if dry_run:
        typer.echo(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
        return
    from geodistill_training.ship import train_and_ship

    started = time.monotonic()
    manifest = train_and_ship(recipe, output, run, cache, threads, calibration_pairs)
    summary = {
        "checkpoint": str(output),
        "seconds": round(time.monotonic() - started),
        "calibration": manifest.calibration,
    }
    text = json.dumps({**summary, "calibration": manifest.calibration and manifest.calibration.model_dump()}, indent=2)
    if json_path and json_path != "-":
        Path(json_path).write_text(text + "\n")
    else:
        typer.echo(text)
