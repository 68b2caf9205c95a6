# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay`: run a recorded drive and score it against its ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from geodistill_core.cli.output import JsonOption, emit, notes, progress
from geodistill_core.cli.summary import print_summary

app = typer.Typer(add_completion=False)


@app.command()
def replay(
    drive: Annotated[Path, typer.Argument(help="Drive: an .mcap file or a rosbag2 folder.")],
    *,
    map_path: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--map", help="Imagery; by default the one that belongs to the drive."),
    ] = None,
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    orientation_model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Checkpoint of an orientation network, whose belief about the heading is added."),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--output", help="Folder for metrics.json, report.html and trajectories [runs/DRIVE]."),
    ] = None,
    prior: Annotated[str, typer.Option(help="gaussian, or flat: the image's likelihood alone.")] = "gaussian",
    camera_height_m: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Height of a level camera above the ground, where the drive does not state its mount."),
    ] = None,
    sigma_height_m: Annotated[
        float,
        typer.Option(min=0.0, max=2.0, help="How uncertain the camera's height is, one standard deviation."),
    ] = 0.0,
    live: Annotated[bool, typer.Option("--live", help="Play the drive to the ROS 2 node instead.")] = False,
    rate: Annotated[float, typer.Option(min=0.05, max=20.0, help="Speed of a live replay.")] = 1.0,
    timing: Annotated[
        bool,
        typer.Option("--timing", help="Measure latency and throughput; the output then varies from run to run."),
    ] = False,
    json_path: JsonOption = None,
) -> None:
    """Run a recorded drive and score it against its ground truth.

    Offline the frames go through the localizer in this process: nothing is lost, and metrics.json is the same
    byte for byte every time (latency and throughput are null unless --timing is given). Exits with 3 when
    frames were dropped.
    """
    from geodistill_core.bags.reader import ReaderOptions, read_drive
    from geodistill_core.evaluation import live as through_ros
    from geodistill_core.evaluation import replay as offline
    from geodistill_core.evaluation.ros import require_ros
    from geodistill_core.localization import Localizer, LocalizerConfig

    if live:
        require_ros(f"geodistill replay {drive}")
    reader = read_drive(drive, ReaderOptions(camera_height_m=camera_height_m, sigma_height_m=sigma_height_m))
    map_path = map_path or offline.map_beside(reader)
    folder = output or Path("runs") / reader.path.stem
    config = LocalizerConfig(prior=prior, orientation_model=orientation_model)  # type: ignore[arg-type]  # validated there
    localizer = Localizer.load(model, map_path, config)
    if live:
        info = offline.run_info(reader, localizer, map_path, f"live, at {rate:g} times its speed")
        results = folder / "results.mcap"
        options = through_ros.LiveOptions(
            drive, map_path, results, model, rate, prior, camera_height_m, orientation_model, sigma_height_m
        )
        account = through_ros.play_live(options)
        outcome = through_ros.live_outcome(reader, info, results, account)
    else:
        info = offline.run_info(reader, localizer, map_path, "offline")
        with progress(f"replay {reader.path.name}", total=reader.image_count) as step:
            outcome = offline.replay(reader, localizer, info, timing=timing, step=step)
    summary = outcome.save(folder, localizer.source)
    emit(summary, json_path, lambda out: print_summary(out, summary))
    notes().print(f"[dim]report: {folder / 'report.html'}[/dim]")
    if summary["dropped"]:
        raise typer.Exit(3)
