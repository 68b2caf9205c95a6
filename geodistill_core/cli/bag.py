# SPDX-License-Identifier: Apache-2.0
"""`geodistill bag`: make drives and look into them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, number, progress, table

app = typer.Typer(help="Make drives and look into them.", no_args_is_help=True)

SynthFolder = Annotated[Path, typer.Argument(help="Folder for drive.mcap, drive.mbtiles and drive.json.")]


class Rig(str, Enum):
    """Cameras of simulated drives."""

    PANORAMA = "panorama"
    PINHOLE = "pinhole"


@app.callback()
def main() -> None:
    """Make drives and look into them."""


@app.command()
def synth(
    folder: SynthFolder,
    *,
    style: Annotated[str, typer.Option(help="City style.")] = "campus",
    seed: Annotated[int, typer.Option(help="City seed.")] = 20_000,
    route: Annotated[int, typer.Option(help="Which drive through that city.")] = 0,
    level: Annotated[str, typer.Option(help="Difficulty: easy, standard or hard.")] = "standard",
    frames: Annotated[int, typer.Option(help="Camera frames.")] = 130,
    rate: Annotated[float, typer.Option(help="Camera frames per second.")] = 4.0,
    camera: Annotated[Rig, typer.Option(help="Camera.")] = Rig.PANORAMA,
    size_m: Annotated[
        Optional[float],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Option(help="Side of the city in metres; by default as large as the drive needs."),
    ] = None,
    raw_images: Annotated[bool, typer.Option(help="Images as sensor_msgs/Image, not JPEG.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Simulate a drive: recording, map and sidecar, the same for the same options."""
    from geodistill_core.bags.synth import write_synth_drive
    from geodistill_core.datasets.synthcity import PANORAMA_RIG, PINHOLE_RIG

    with progress(f"{style} {seed}, {level}", total=frames + 1) as step:
        made = write_synth_drive(
            folder,
            style,
            seed,
            level,
            frames,
            frame_rate_hz=rate,
            rig=PINHOLE_RIG if camera is Rig.PINHOLE else PANORAMA_RIG,
            route=route,
            size_m=size_m,
            raw_images=raw_images,
            progress=lambda done, total: step(),
        )
    files = {"bag": made.bag, "map": made.map, "sidecar": made.sidecar}
    facts = {
        "files": {name: {"path": str(path), "bytes": path.stat().st_size} for name, path in files.items()},
        "drive": made.manifest.model_dump(exclude_none=True),
    }

    def render(console: Console) -> None:
        shown = table(f"{style} {seed}, {level}, {frames} frames", "file", "MB")
        for path in files.values():
            shown.add_row(str(path), number(path.stat().st_size / 1e6))
        console.print(shown)

    emit(facts, json_path, render)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="An .mcap file or a rosbag2 folder.")],
    json_path: JsonOption = None,
) -> None:
    """What a recording holds for a localization run, and what it lacks.

    Exits with 3 when something is missing.
    """
    from geodistill_core.bags.info import inspect_bag

    facts = inspect_bag(path).to_json()
    emit(facts, json_path, lambda console: _render_info(console, facts))
    if facts["missing"]:
        raise typer.Exit(3)


def _render_info(console: Console, facts: dict[str, Any]) -> None:
    shown = table(f"{facts['path']}, {facts['duration_s']:.1f} s", "stream", "topic", "messages", "Hz", "content")
    for row in facts["streams"]:
        rate = number(row["rate_hz"], 1)
        shown.add_row(row["kind"], row["topic"], str(row["messages"]), rate, row["note"])
    console.print(shown)
    if facts["other_topics"]:
        console.print("not used: " + ", ".join(facts["other_topics"]), markup=False)
    for line in facts["missing"]:
        console.print("missing  " + line, markup=False)
    if facts["ready"]:
        console.print("ready for localization")
