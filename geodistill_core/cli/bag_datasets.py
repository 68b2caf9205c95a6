# SPDX-License-Identifier: Apache-2.0
"""`geodistill bag vigor` and `geodistill bag kitti`: data sets as recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from geodistill_core.cli.output import JsonOption, emit, printable, progress, table

if TYPE_CHECKING:
    from geodistill_core.bags.datasets.bags import DatasetBag
    from geodistill_core.bags.datasets.drive import BagOptions, DatasetPlan

_NAMED = 5
_TEXT_LIMIT = 160

Root = Annotated[Path, typer.Argument(help="Folder of the data set.")]
Output = Annotated[
    Optional[Path],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
    typer.Option("-o", "--output", help="Folder for the recordings and their maps (default: drives/DATASET-PART)."),
]
Limit = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="At most so many frames a recording, the first of the list."),
]
GnssSigma = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(
        "--gnss-sigma-m", help="Gaussian error of the GNSS, east and north; by default the split's own displacement."
    ),
]
HeadingRange = Annotated[float, typer.Option(help="The compass is wrong by up to this, evenly; 180 knows nothing.")]
Seed = Annotated[int, typer.Option(help="Where errors are drawn from.")]
StorageOption = Annotated[str, typer.Option(help="mcap, with checksums, or sqlite3.")]
ChunkKib = Annotated[int, typer.Option(help="Size of MCAP's chunks, 64 to 256: what one damaged byte costs.")]
RawImages = Annotated[bool, typer.Option(help="Images as sensor_msgs/Image, not as the files that they are.")]
Jobs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(help="Files or pictures made at a time; the result is the same (default: one a core, at most 8)."),
]


def vigor(
    root: Root,
    *,
    output: Output = None,
    area: Annotated[str, typer.Option(help="same or cross.")] = "same",
    part: Annotated[str, typer.Option(help="train or test.")] = "test",
    labels: Annotated[str, typer.Option(help="corrected or original.")] = "corrected",
    city: Annotated[Optional[list[str]], typer.Option(help="Only this city; repeatable.")] = None,  # noqa: UP045
    limit: Limit = None,
    gnss_sigma_m: GnssSigma = None,
    heading_range_deg: HeadingRange = 10.0,
    seed: Seed = 0,
    camera_height_m: Annotated[float, typer.Option(help="Height of the camera, which VIGOR does not state.")] = 2.0,
    storage: StorageOption = "mcap",
    chunk_kib: ChunkKib = 128,
    raw_images: RawImages = False,
    jobs: Jobs = None,
    json_path: JsonOption = None,
) -> None:
    """Make VIGOR's panoramas recordings, one a city, with the tiles as a map.

    Pictures are stored as the files that they are. Run again to go on where a run was stopped. Exits with 3 when
    something was skipped.
    """
    from geodistill_core.bags.datasets.vigor import VigorSplit, plan_vigor
    from geodistill_core.datasets.case import PriorNoise

    split = VigorSplit(area, part, labels, tuple(city or ()), limit)  # type: ignore[arg-type]  # validated there
    options = bag_options(storage, chunk_kib, raw_images, jobs)
    plan = plan_vigor(root, split, PriorNoise(gnss_sigma_m, heading_range_deg, seed), camera_height_m)
    _convert(plan, output or Path("drives") / f"vigor-{area}-{part}", options, json_path)


def kitti(
    root: Root,
    *,
    output: Output = None,
    part: Annotated[str, typer.Option(help="train, test1 or test2.")] = "test1",
    drive: Annotated[Optional[list[str]], typer.Option(help="Only this drive; repeatable.")] = None,  # noqa: UP045
    lists: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the published lists, if it is not ROOT."),
    ] = None,
    limit: Limit = None,
    gnss_sigma_m: GnssSigma = None,
    heading_range_deg: HeadingRange = 10.0,
    seed: Seed = 0,
    camera_height_m: Annotated[float, typer.Option(help="Height of the camera.")] = 1.65,
    storage: StorageOption = "mcap",
    chunk_kib: ChunkKib = 128,
    raw_images: RawImages = False,
    jobs: Jobs = None,
    json_path: JsonOption = None,
) -> None:
    """Make a cross-view list of KITTI recordings, one a drive, with the satellite images as a map.

    With what the inertial unit said: attitude, rates, speed. Run again to go on where a run was stopped. Exits
    with 3 when something was skipped.
    """
    from geodistill_core.bags.datasets.kitti import KittiSplit, plan_kitti
    from geodistill_core.datasets.case import PriorNoise

    split = KittiSplit(part, tuple(drive or ()), limit)  # type: ignore[arg-type]  # validated there
    options = bag_options(storage, chunk_kib, raw_images, jobs)
    noise = PriorNoise(gnss_sigma_m, heading_range_deg, seed)
    plan = plan_kitti(root, split, noise, lists, camera_height_m)
    _convert(plan, output or Path("drives") / f"kitti-{part}", options, json_path)


def bag_options(storage: str, chunk_kib: int, raw_images: bool, jobs: int | None) -> BagOptions:
    """How recordings are written; raises ConfigError for what is outside its limits."""
    from geodistill_core.bags.datasets.drive import BagOptions

    chosen = {} if jobs is None else {"jobs": jobs}
    return BagOptions(storage, chunk_kib * 1024, raw_images, **chosen)  # type: ignore[arg-type]  # validated there


def _convert(plan: DatasetPlan, folder: Path, options: BagOptions, json_path: str | None) -> None:
    from geodistill_core.bags.datasets.bags import write_dataset_bags

    total = sum(len(drive.samples) for drive in plan.drives)
    with progress(f"{plan.dataset} {plan.split}", total=total) as step:
        made = write_dataset_bags(plan, folder, options, step)
    facts = _facts(plan, made)
    emit(facts, json_path, lambda console: _render(console, facts))
    if facts["skipped"]:
        raise typer.Exit(3)


def _facts(plan: DatasetPlan, made: Sequence[DatasetBag]) -> dict[str, Any]:
    """What was made and what was left out, for JSON and for people."""
    skipped = dict(plan.rejected)
    rows = []
    for one in made:
        origin = one.manifest.dataset
        assert origin is not None
        skipped |= origin.skipped
        size = sum(file.stat().st_size for file in one.bag.iterdir() if file.is_file())
        rows.append(
            {
                "bag": str(one.bag),
                "map": str(one.map),
                "sidecar": str(one.sidecar),
                "samples": origin.samples,
                "frames": origin.frames,
                "tiles": origin.tiles,
                "bytes": size,
                "clock": origin.clock,
            }
        )
    names = {one.bag.name for one in made}
    empty = [drive for drive in plan.drives if drive.name not in names]
    skipped |= {drive.name: f"none of its {len(drive.samples)} samples can be read" for drive in empty}
    return {"dataset": plan.dataset, "split": plan.split, "bags": rows, "skipped": skipped}


def _render(console: Console, facts: dict[str, Any]) -> None:
    shown = table(f"{facts['dataset']}, {facts['split']}", "recording", "samples", "frames", "tiles", "MB")
    for row in facts["bags"]:
        megabytes = f"{row['bytes'] / 1e6:.1f}"
        shown.add_row(escape(row["bag"]), str(row["samples"]), str(row["frames"]), str(row["tiles"]), megabytes)
    console.print(shown)
    skipped = facts["skipped"]
    for key, reason in list(skipped.items())[:_NAMED]:
        console.print(f"skipped  {printable(f'{key}: {reason}')[:_TEXT_LIMIT]}", markup=False, soft_wrap=True)
    if len(skipped) > _NAMED:
        console.print(f"skipped  {len(skipped) - _NAMED} more, named in the sidecars", markup=False)
