# SPDX-License-Identifier: Apache-2.0
"""`geodistill bag`: make drives and look into them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from geodistill_core.cli.bag_datasets import ChunkKib, Jobs, StorageOption, bag_options, kitti, vigor
from geodistill_core.cli.output import JsonOption, emit, number, printable, progress, table

app = typer.Typer(help="Make drives and look into them.", no_args_is_help=True)

SynthFolder = Annotated[Path, typer.Argument(help="Folder for drive.mcap, drive.mbtiles and drive.json.")]


class Rig(str, Enum):
    """Cameras of simulated drives."""

    PANORAMA = "panorama"
    PINHOLE = "pinhole"


@app.callback()
def main() -> None:
    """Make drives and look into them."""


app.command()(vigor)
app.command()(kitti)


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
    storage: StorageOption = "mcap",
    chunk_kib: ChunkKib = 128,
    jobs: Jobs = None,
    json_path: JsonOption = None,
) -> None:
    """Simulate a drive: recording, map and sidecar, the same for the same options.

    Run again to go on where a run was stopped.
    """
    from geodistill_core.bags.synth import write_synth_drive
    from geodistill_core.datasets.synthcity import PANORAMA_RIG, PINHOLE_RIG

    options = bag_options(storage, chunk_kib, raw_images, jobs)
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
            raw_images=options.raw_images,
            storage=options.storage,
            chunk_bytes=options.chunk_bytes,
            jobs=options.jobs,
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
    path: Annotated[Path, typer.Argument(help="An .mcap or .db3 file, or a rosbag2 folder.")],
    *,
    full: Annotated[bool, typer.Option("--full", help="Read all of it: clocks, halts, damage, hashes.")] = False,
    json_path: JsonOption = None,
) -> None:
    """What a recording holds for a localization run, and what it lacks.

    Exits with 3 when something is missing.
    """
    from geodistill_core.bags.info import inspect_bag

    facts = inspect_bag(path, full=full).to_json()
    emit(facts, json_path, lambda console: _render_info(console, facts))
    if facts["missing"]:
        raise typer.Exit(3)


def _render_info(console: Console, facts: dict[str, Any]) -> None:
    held = f"{facts['files']} {facts['storage']} file{'s' if facts['files'] > 1 else ''}"
    megabytes = number(facts["size_bytes"] / 1e6, 1, " MB")
    title = f"{facts['path']}: {facts['duration_s']:.1f} s, {held}, {megabytes}"
    shown = table(escape(title), "stream", "topic", "messages", "Hz", "content")
    for row in facts["streams"]:
        cells = (row["kind"], row["topic"], str(row["messages"]), number(row["rate_hz"], 1), row["note"])
        shown.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(shown)
    said = [
        ("made of", _origin(facts["sidecar"])),
        ("map", facts["map"]),
        ("not used", ", ".join(facts["other_topics"])),
    ]
    said += [("note", line) for line in facts["remarks"]] + [("missing", line) for line in facts["missing"]]
    for name, line in said:
        if line:
            console.print(f"{name:<9}{printable(line)}", markup=False, soft_wrap=True)
    if facts["ready"]:
        console.print("ready for localization")


def _origin(sidecar: dict[str, Any] | None) -> str:
    """Where a drive comes from and how its camera sits, as its sidecar says."""
    if sidecar is None:
        return ""
    camera = f"camera {sidecar['T_base_camera'][2][3]:.2f} m above the ground"
    if "synth" in sidecar:
        synth = sidecar["synth"]
        return f"SynthCity {synth['style']} {synth['seed']}, {synth['level']}; {camera}"
    if "dataset" not in sidecar:
        return camera
    part = sidecar["dataset"]
    gnss = f"Gaussian {part['gnss_sigma_m']:g} m" if "gnss_sigma_m" in part else "the split's own"
    errors = f"GNSS error {gnss}, heading within {part['heading_range_deg']:g} deg, seed {part['seed']}"
    frames = f"{part['frames']} of {part['samples']} samples"
    return f"{part['dataset']} {part['area']}, {part['split']}: {frames}; {errors}; {camera}"
