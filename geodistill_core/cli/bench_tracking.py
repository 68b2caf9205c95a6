# SPDX-License-Identifier: Apache-2.0
"""`geodistill bench tracking`: the track's errors on drives that are hard to follow, and whether its claims hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, progress, table


def bench_tracking(
    *,
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    runtime: Annotated[str, typer.Option(help="What runs the network.")] = "torch",
    rounds: Annotated[int, typer.Option(help="Cities that each drive is made in; few say little of claims.")] = 4,
    jobs: Annotated[int, typer.Option(help="Drives at a time, each in a process of its own.")] = 2,
    seconds: Annotated[float, typer.Option(help="Length of a drive.")] = 180.0,
    drives: Annotated[
        Optional[int],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Option(help="The first few of the drives only."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder for a CSV of each drive; keeps the pictures, so that the next run is faster."),
    ] = None,
    mount: Annotated[bool, typer.Option(help="Also drive with a camera whose mounting is stated wrongly.")] = True,
    calibration: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A calibration that --calibrate wrote, instead of the checkpoint's."),
    ] = None,
    calibrate: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Fit a calibration on other drives, of the validation style, and write it there."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Drives with wandering, jumping and silent GNSS: errors of the track, and whether its claims hold."""
    from geodistill_core.datasets.synthcity.tracking_drives import FRAME_RATE_HZ, calibration_drives
    from geodistill_core.evaluation.bench.tracking import TrackingBenchOptions, calibrate_tracking
    from geodistill_core.evaluation.bench.tracking import bench_tracking as measure
    from geodistill_core.evaluation.bench.tracking_calibration import read_calibration
    from geodistill_core.evaluation.files import write_json

    start = None if calibration is None else read_calibration(calibration)
    options = TrackingBenchOptions(model, runtime, rounds, drives, seconds, jobs, start, out, mount)
    fitting = round(len(options.chosen(calibration_drives)) * seconds * FRAME_RATE_HZ)
    with progress("driving", total=options.frames if calibrate is None else fitting) as step:
        if calibrate is None:
            result = measure(options, step)
        else:
            result = calibrate_tracking(options, step).model_dump()
            write_json(calibrate, result)
    emit(result, json_path, lambda out: (_render if calibrate is None else _render_calibration)(out, result))


def _render_calibration(out: Console, result: dict[str, Any]) -> None:
    shown = table(f"fitted on {result['samples']} frames of {result['drives']} drives", "", "along", "across", "yaw")
    for name in ("scale", "innovation"):
        shown.add_row(name, *(f"{result[f'{name}_{axis}']:.2f}" for axis in ("along", "across", "yaw")))
    shown.add_row("degrees of freedom", *[f"{result['degrees_of_freedom']:g}"] * 3)
    lateral, longitudinal = result["protection_lateral"], result["protection_longitudinal"]
    shown.add_row(f"protection, risk {result['risk']:g}", f"{longitudinal:.2f}", f"{lateral:.2f}", "")
    out.print(shown)


def _metres(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _render(out: Console, result: dict[str, Any]) -> None:
    shown = table(
        f"position error in metres, {result['seconds']:g} s a drive", "drive", "median", "p90", "p95", "max",
        "worst while TRACKING", "TRACKING", "first after", "single image: median", "p95", "GNSS: median",
    )  # fmt: skip
    for drive in result["drives"]:
        error, single, gnss = drive["position_error_m"], drive["single_error_m"], drive["gnss_error_m"]
        first = drive["first_tracking_s"]
        shown.add_row(
            drive["name"],
            *(_metres(error[name]) for name in ("median", "p90", "p95", "max")),
            _metres(drive["worst_while_tracking_m"]),
            f"{drive['states'].get('tracking', 0.0):.0%}",
            "-" if first is None else f"{first:.1f} s",
            _metres(single["median"]),
            _metres(single["p95"]),
            _metres(gnss["median"]),
        )
    out.print(shown)
    _render_claims(out, result)


def _render_claims(out: Console, result: dict[str, Any]) -> None:
    claims, kept = result["claims"], result["within_limits"]
    independent, nees, coverage = claims["independent"], claims["nees"], claims["coverage"]["0.95"]
    title = f"claims, {independent['frames']} frames {independent['distance_m']:g} m apart"
    shown = table(title, "", "measured", "limit", "kept")

    def row(label: str, measured: str, limit: str, key: str) -> None:
        shown.add_row(label, measured, limit, {True: "yes", False: "no", None: "-"}[kept[key]])

    if nees["mean"] is not None:
        low, high = nees["bounds"]
        row("mean NEES, 3 axes", f"{nees['mean']:.2f}", f"{low:.2f} to {high:.2f}", "nees")
        row("95 % ellipses that hold", f"{coverage['share']:.1%}", "92 % to 98 %", "coverage_95")
        deviation = claims["hpd_deviation"]["independent"]
        row("HPD curve's deviation", f"{deviation:.3f}", f"{result['limits']['hpd_deviation']:g}", "hpd_deviation")
        for axis in ("lateral", "longitudinal"):
            found = claims["protection"][axis]
            measured = f"{found['violated']:.2%} of {independent['metre_apart']}"
            row(f"{axis} protection level passed", measured, f"{found['risk']:.0%}", "protection")
    if mount := result["mount"]:
        after = mount["recovered_after_frames"]
        errors = f"{abs(mount['height_error_share']):.1%}, {abs(mount['pitch_error_deg']):.2f} deg"
        when = "never" if after is None else f"after {after} frames"
        row("wrong mounting found", f"{when} ({errors})", f"{mount['limits']['frames']} frames (3 %, 0.3 deg)", "mount")
    out.print(shown)
    taken = result["all"]["tracker_ms"]
    out.print(f"tracker  {taken['p50']:.1f} ms a frame (p90 {taken['p90']:.1f} ms, p99 {taken['p99']:.1f} ms)")
