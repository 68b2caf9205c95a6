# SPDX-License-Identifier: Apache-2.0
"""`geodistill train adapt --bag`: from a drive to a promoted checkpoint, or to the reasons why there is none."""

from __future__ import annotations

from pathlib import Path

import typer

from geodistill_core.cli.output import emit, notes, progress
from geodistill_core.errors import ConfigError
from geodistill_training.adapt.drive_job import DriveJob
from geodistill_training.adapt.from_bag import adapt_to_drive
from geodistill_training.adapt.pipeline import Engine
from geodistill_training.adapt.show import print_verdict
from geodistill_training.recipe.recipe import Recipe

NOT_PROMOTED = 3


def adapt_bag(
    recipe: Recipe,
    bag: Path,
    map_path: Path | None,
    model: str,
    run: Path | None,
    output: Path | None,
    camera_height_m: float | None,
    engine: Engine,
    json_path: str | None,
) -> None:
    """Adapt, print the verdict, and exit with 3 where the old network stays.

    Raises:
        ConfigError: there is no map or no output to write to.
    """
    if map_path is None or output is None:
        raise ConfigError("adapting to a drive needs --map SOURCE and a new folder: -o NEW")
    folder = run or Path("runs") / f"adapt-{bag.stem}"
    job = DriveJob(bag, map_path, model, folder, output, camera_height_m, engine, shown=progress)
    verdict = adapt_to_drive(recipe, job)
    emit(verdict.report(), json_path, lambda out: print_verdict(out, verdict))
    if verdict.promoted:
        notes().print(f"[dim]checkpoint: {output}[/dim]")
        return
    reasons = "; ".join(
        f"{line.name} {line.found:.3g}, needed {line.needed}" for line in verdict.criteria if not line.met
    )
    notes().print(f"not promoted: {reasons}. {output} was not written; the candidate is {folder / 'candidate'}")
    raise typer.Exit(NOT_PROMOTED)
