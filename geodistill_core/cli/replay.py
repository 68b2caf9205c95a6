# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay`: run a recorded drive and score it against its ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.markup import escape

from geodistill_core.cli.calibrate import warn_uncalibrated
from geodistill_core.cli.fleet import JobsOption, RayOption, replay_fleet
from geodistill_core.cli.output import JsonOption, emit, notes, progress
from geodistill_core.cli.replay_options import (
    GnssSigmaOption,
    HeadingSigmaOption,
    HeightOption,
    HeightSigmaOption,
    MountOption,
    SalvageOption,
    SensorOption,
    TopicOption,
    TruthDatumOption,
    TruthGapOption,
    TruthOffsetOption,
    TruthOption,
    reader_options,
)
from geodistill_core.cli.summary import is_partial, print_summary

app = typer.Typer(add_completion=False)


@app.command()
def replay(
    drives: Annotated[
        list[Path], typer.Argument(metavar="DRIVE", help="A recording; of several each is run, and all are merged.")
    ],
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
        typer.Option("-o", "--output", help="Folder for report, metrics, answers, trajectories (default: runs/DRIVE)."),
    ] = None,
    prior: Annotated[str, typer.Option(help="gaussian, or flat: the image's likelihood alone.")] = "gaussian",
    track: Annotated[
        bool, typer.Option("--track", help="Answer with a track over time from images, GNSS and odometry.")
    ] = False,
    topic: TopicOption = None,
    mount: MountOption = None,
    camera_height_m: HeightOption = None,
    sigma_height_m: HeightSigmaOption = 0.0,
    sensor: SensorOption = None,
    gnss_sigma_m: GnssSigmaOption = None,
    heading_sigma_deg: HeadingSigmaOption = None,
    truth: TruthOption = None,
    truth_datum: TruthDatumOption = None,
    truth_offset_s: TruthOffsetOption = 0.0,
    truth_gap_s: TruthGapOption = None,
    salvage: SalvageOption = False,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, max=256, help="CPU threads; figures depend on them (default: 1; live: all)."),
    ] = None,
    runtime: Annotated[
        str, typer.Option(help="What runs the network: torch, auto, onnxruntime, openvino or tensorrt.")
    ] = "torch",
    live: Annotated[bool, typer.Option("--live", help="Play the drive to the ROS 2 node instead.")] = False,
    rate: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.05, max=20.0, help="Speed of a live replay (default: 1)."),
    ] = None,
    jobs: JobsOption = None,
    ray: RayOption = None,
    timing: Annotated[
        bool,
        typer.Option("--timing", help="Measure latency and throughput; the output then varies from run to run."),
    ] = False,
    json_path: JsonOption = None,
) -> None:
    """Run recorded drives and score them against their ground truth.

    Offline the frames go through the localizer in this process: nothing is lost, and every file is the same
    byte for byte every time (latency and throughput are null unless --timing is given). Exits with 3 when
    frames were dropped or lost to damage. Ctrl-C leaves a report of what was done, marked as incomplete.

    Several drives go to OUTPUT/drives/NAME and are merged in OUTPUT (default: runs/fleet), with the same figures
    however they are spread. Run again, what is finished is kept.
    """
    from geodistill_core.errors import ConfigError
    from geodistill_core.evaluation.live.replay import replay_live
    from geodistill_core.evaluation.replay import ReplayPlan, replay_drive

    reader = reader_options(
        topics=topic,
        mount=mount,
        camera_height_m=camera_height_m,
        sigma_height_m=sigma_height_m,
        sensors=sensor,
        gnss_sigma_m=gnss_sigma_m,
        heading_sigma_deg=heading_sigma_deg,
        truth=truth,
        truth_datum=truth_datum,
        truth_offset_s=truth_offset_s,
        truth_gap_s=truth_gap_s,
        salvage=salvage,
    )
    plan = ReplayPlan(
        model=model,
        map_path=map_path,
        orientation_model=orientation_model,
        prior=prior,
        track=track,
        reader=reader,
        threads=threads or 1,
        timing=timing,
        runtime=runtime,
    )
    if rate is not None and not live:
        raise ConfigError(f"--rate {rate:g} is the speed of a live replay; add --live, or leave it out")
    if len(drives) > 1 or jobs is not None or ray is not None:
        if live:
            raise ConfigError("--live plays one drive in real time; give one, without --jobs and --ray")
        warn_uncalibrated(model)
        replay_fleet(drives, output or Path("runs") / "fleet", plan, jobs=jobs, ray=ray, json_path=json_path)
        return
    (drive,) = drives
    folder = output or Path("runs") / drive.stem
    try:
        if live:
            summary = replay_live(drive, folder, plan, rate or 1.0, threads or 0)
        else:
            with progress(escape(f"replay {drive.name}")) as step:
                summary = replay_drive(drive, folder, plan, step)
    except KeyboardInterrupt:
        notes().print(f"[dim]as far as it went: {escape(str(folder))}[/dim]", soft_wrap=True)
        raise
    emit(summary, json_path, lambda out: print_summary(out, summary))
    warn_uncalibrated(model)
    notes().print(f"[dim]report: {escape(str(folder / 'report.html'))}[/dim]", soft_wrap=True)
    if is_partial(summary):
        raise typer.Exit(3)
