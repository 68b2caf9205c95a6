# SPDX-License-Identifier: Apache-2.0
"""`geodistill demo`: a simulated drive through the real ROS 2 node, scored and explained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, notes, progress
from geodistill_core.cli.summary import print_summary

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for everything the demo makes.")] = Path(
        "demo-output"
    ),
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    rate: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.05, max=20.0, help="Speed of the replay; by default 1, less on a slow or busy machine."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """See it work: drive through a simulated city that the network has never seen.

    Renders the drive (once), plays it over DDS to the ROS 2 node in a process of its own, and scores what the node
    publishes. Leaves report.html, metrics.json and drive.mcap, the drive with the answers in it, for Foxglove.
    """
    from geodistill_core.bags.reader import read_drive
    from geodistill_core.evaluation.demo import DemoDrive
    from geodistill_core.evaluation.live.answers import merge_bags
    from geodistill_core.evaluation.live.replay import LiveOptions, live_outcome, play_live, suitable_rate
    from geodistill_core.evaluation.outcome import INCOMPLETE
    from geodistill_core.evaluation.replay import ReplayPlan, run_info
    from geodistill_core.evaluation.result_bag import datum_of
    from geodistill_core.evaluation.ros import require_ros
    from geodistill_core.localization import Localizer

    drive, bag, results = DemoDrive(), output / "source" / "drive.mcap", output / "results.mcap"
    require_ros(f"{drive.synth_command(bag.parent)} && geodistill replay {bag} -o {output}")
    if drive.ready(bag):
        notes().print(f"[dim]using the drive in {bag.parent}[/dim]")
    else:
        with progress(f"rendering a drive through {drive.style}", total=drive.steps) as step:
            drive.make(bag, step)
    reader = read_drive(bag)
    map_path = bag.with_suffix(".mbtiles")
    localizer = Localizer.load(model, map_path)
    rate = rate or suitable_rate(reader, localizer)
    notes().print(f"the drive now runs through the ROS 2 node, at {rate:g} times its speed")
    plan = ReplayPlan(model, track=True)
    account = play_live(LiveOptions(bag, map_path, results, plan, rate, datum=datum_of(reader)))
    info = run_info(reader, localizer, map_path, f"live, at {rate:g} times its speed", track=True)
    outcome = live_outcome(reader, info, results, account)
    summary = outcome.save(output, localizer.source)
    merge_bags(bag, results, output / "drive.mcap")
    results.unlink()
    if INCOMPLETE in summary:
        raise KeyboardInterrupt
    emit(summary, json_path, lambda out: _render(out, summary, output))
    if not summary["frames_localized"]:
        raise typer.Exit(3)


def _render(out: Console, summary: dict[str, object], output: Path) -> None:
    print_summary(out, summary)
    out.print()
    for name, file, use in (
        ("report", "report.html", "open it in a browser"),
        ("drive", "drive.mcap", "with the answers in it; open it in Foxglove"),
        ("metrics", "metrics.json", "the numbers above and more"),
    ):
        out.print(f"{name:8} {output / file}  [dim]{use}[/dim]", soft_wrap=True)
