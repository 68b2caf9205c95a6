# SPDX-License-Identifier: Apache-2.0
"""`geodistill eval vigor` and `geodistill eval kitti`: score a model as the papers do, or as a vehicle would ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.markup import escape

from geodistill_core.cli.bag_datasets import GnssSigma, Root, Seed
from geodistill_core.cli.calibrate import CalibrateOption, DateOption, RiskOption, calibrate, warn_uncalibrated, wish_of
from geodistill_core.cli.dataset_summary import print_dataset_summary
from geodistill_core.cli.output import JsonOption, emit, notes, progress

if TYPE_CHECKING:
    from geodistill_core.evaluation.datasets.evaluation import Evaluation

Model = Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")]
Protocol = Annotated[
    str,
    typer.Option(help="paper: each image on its own tile, position unknown; vehicle: as its recording is replayed."),
]
HeadingRange = Annotated[
    float, typer.Option(help="The heading is known within this to either side: 0 exactly, 180 not at all.")
]
Limit = Annotated[
    Optional[int],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
    typer.Option(help="At most so many samples a city or drive, the first of the list."),
]
Batch = Annotated[int, typer.Option(help="Samples at a time through the network.")]
Workers = Annotated[int, typer.Option(help="Threads that read ahead; the result is the same.")]
Threads = Annotated[int, typer.Option(help="Threads of the network; another number changes the last digits.")]
Device = Annotated[str, typer.Option(help="Where the network runs under the papers' protocol: cpu or cuda.")]
TableOption = Annotated[str, typer.Option("--table", help="Table of the samples: csv or parquet.")]
Output = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("-o", "--output", help="Folder for metrics, run.json and frames.csv (default: runs/DATASET-…-MODEL)."),
]


def vigor(
    root: Root,
    *,
    area: Annotated[str, typer.Option(help="same or cross.")] = "same",
    part: Annotated[str, typer.Option(help="train or test.")] = "test",
    labels: Annotated[str, typer.Option(help="corrected or original.")] = "corrected",
    city: Annotated[Optional[list[str]], typer.Option(help="Only this city; repeatable.")] = None,  # noqa: UP045
    limit: Limit = None,
    model: Model = "tiny",
    orientation_model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Checkpoint of an orientation network, which tells the heading."),
    ] = None,
    protocol: Protocol = "paper",
    heading_range_deg: HeadingRange = 0.0,
    gnss_sigma_m: GnssSigma = None,
    camera_height_m: Annotated[float, typer.Option(help="Height of the camera, which VIGOR does not state.")] = 2.0,
    seed: Seed = 0,
    batch: Batch = 8,
    workers: Workers = 2,
    threads: Threads = 1,
    device: Device = "cpu",
    table: TableOption = "csv",
    output: Output = None,
    calibrate_to: CalibrateOption = None,
    risk: RiskOption = 0.01,
    date: DateOption = None,
    json_path: JsonOption = None,
) -> None:
    """Panoramas on their tiles, in the same area as the training or across areas.

    Leaves the errors of every sample in a table. Run again to go on where a run was stopped. Exits with 3 when
    samples were not localized, or more than 5 % could not be read.
    """
    from geodistill_core.bags.datasets.vigor import VigorSplit
    from geodistill_core.evaluation.datasets.asked import Asked
    from geodistill_core.evaluation.datasets.run import Pace
    from geodistill_core.evaluation.datasets.vigor import vigor_evaluation

    split = VigorSplit(area, part, labels, tuple(city or ()), limit)  # type: ignore[arg-type]  # validated there
    asked = Asked(
        model, protocol, heading_range_deg, gnss_sigma_m, seed, orientation_model, Pace(batch, workers), threads,
        device, f".{table}",
    )  # fmt: skip
    evaluation = vigor_evaluation(root, split, asked, camera_height_m)
    if _calibrated(evaluation, model, calibrate_to, risk, date, json_path):
        return
    _run(evaluation, output or Path("runs") / f"vigor-{area}-{part}-{protocol}-{Path(model).name}", json_path)


def kitti(
    root: Root,
    *,
    part: Annotated[str, typer.Option(help="train, test1 (same area) or test2 (elsewhere).")] = "test1",
    drive: Annotated[Optional[list[str]], typer.Option(help="Only this drive; repeatable.")] = None,  # noqa: UP045
    lists: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the published lists, if it is not ROOT."),
    ] = None,
    limit: Limit = None,
    model: Model = "tiny",
    protocol: Protocol = "paper",
    heading_range_deg: HeadingRange = 10.0,
    gnss_sigma_m: GnssSigma = None,
    camera_height_m: Annotated[float, typer.Option(help="Height of the camera.")] = 1.65,
    seed: Seed = 0,
    batch: Batch = 8,
    workers: Workers = 2,
    threads: Threads = 1,
    device: Device = "cpu",
    table: TableOption = "csv",
    output: Output = None,
    calibrate_to: CalibrateOption = None,
    risk: RiskOption = 0.01,
    date: DateOption = None,
    json_path: JsonOption = None,
) -> None:
    """Frames of a cross-view list on their satellite images, displaced by up to 20 m as the list says.

    Leaves the errors of every frame in a table. Run again to go on where a run was stopped. Exits with 3 when
    frames were not localized, or more than 5 % could not be read.
    """
    from geodistill_core.bags.datasets.kitti import KittiSplit
    from geodistill_core.evaluation.datasets.asked import Asked
    from geodistill_core.evaluation.datasets.kitti import kitti_evaluation
    from geodistill_core.evaluation.datasets.run import Pace

    split = KittiSplit(part, tuple(drive or ()), limit)  # type: ignore[arg-type]  # validated there
    asked = Asked(
        model, protocol, heading_range_deg, gnss_sigma_m, seed, None, Pace(batch, workers), threads, device,
        f".{table}",
    )  # fmt: skip
    evaluation = kitti_evaluation(root, split, asked, lists, camera_height_m)
    if _calibrated(evaluation, model, calibrate_to, risk, date, json_path):
        return
    _run(evaluation, output or Path("runs") / f"kitti-{part}-{protocol}-{Path(model).name}", json_path)


def _calibrated(
    evaluation: Evaluation, model: str, folder: Path | None, risk: float, date: str | None, json_path: str | None
) -> bool:
    from geodistill_core.evaluation.datasets.vehicle import VehicleJudge
    from geodistill_core.evaluation.recalibration.vehicle import vehicle_frames

    samples = len(evaluation.judge)
    wish = wish_of(folder, risk, date, samples)
    if wish is None:
        if isinstance(evaluation.judge, VehicleJudge):
            warn_uncalibrated(model)
        return False
    named = f"{evaluation.dataset} {evaluation.split}"
    with progress(named, total=samples) as step:
        frames = vehicle_frames(evaluation, step)
    calibrate(wish, model, frames, f"{named}, asked as a vehicle", samples, json_path)
    return True


def _run(evaluation: Evaluation, folder: Path, json_path: str | None) -> None:
    from geodistill_core.evaluation.datasets.evaluation import evaluate, is_partial

    try:
        with progress(f"{evaluation.dataset} {evaluation.split}", total=len(evaluation.judge)) as step:
            summary = evaluate(evaluation, folder, step)
    except KeyboardInterrupt:
        notes().print("stopped; the same command goes on from here")
        raise
    emit(summary, json_path, lambda out: print_dataset_summary(out, summary))
    notes().print(f"[dim]samples: {escape(str(folder / f'frames{evaluation.table}'))}[/dim]", soft_wrap=True)
    if is_partial(summary):
        raise typer.Exit(3)
