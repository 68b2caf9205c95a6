# SPDX-License-Identifier: Apache-2.0
"""`python -m geodistill_ros.live_replay DRIVE.mcap --map MAP -o RESULTS.mcap`: a drive through the real node."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
import yaml
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, number, progress, table
from geodistill_core.cli.replay_options import HeightOption, MountOption, TopicOption, reader_options
from geodistill_core.errors import ConfigError, GeodistillError


def replay(
    drive: Annotated[Path, typer.Argument(help="Drive: an .mcap file or a rosbag2 folder.")],
    *,
    map_path: Annotated[Path, typer.Option("--map", help="Imagery under the drive.")],
    results: Annotated[Path, typer.Option("-o", "--output", help="MCAP file for the node's answers.")],
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    rate: Annotated[float, typer.Option(min=0.05, max=20.0, help="Speed of the replay.")] = 1.0,
    topic: TopicOption = None,
    mount: MountOption = None,
    camera_height_m: HeightOption = None,
    salvage: Annotated[bool, typer.Option("--salvage", help="Play what is left of a damaged recording.")] = False,
    parameter: Annotated[
        Optional[list[str]],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Option("-p", "--parameter", metavar="NAME:=VALUE", help="Another parameter of the node."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Play a drive to the node in a process of its own over DDS, and record what it answers.

    Exits with 3 when images were dropped; every one is accounted for. Ctrl-C stops playing and accounts for what
    was played.
    """
    from geodistill_core.bags.source import open_bag
    from geodistill_ros.replay.session import ReplayOptions, live_replay

    reader = replace(reader_options(topics=topic, mount=mount, camera_height_m=camera_height_m), salvage=salvage)
    options = ReplayOptions(drive, map_path, results, model, rate, reader, _parameters(parameter or []))
    open_bag(drive, salvage=salvage)  # an unreadable drive is refused before the bar appears
    with progress(f"live replay {drive.name}") as step:
        summary = live_replay(options, step)
    emit(summary, json_path, lambda out: _print(out, summary))
    if summary["interrupted"]:
        raise KeyboardInterrupt
    if summary["answered"] < summary["published"]:
        raise typer.Exit(3)


def _parameters(words: list[str]) -> dict[str, Any]:
    """`NAME:=VALUE` words, values read as YAML; raises ConfigError for another form."""
    chosen: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not (name and separator):
            raise ConfigError(f"parameter {word!r} is not of the form NAME:=VALUE")
        chosen[name] = yaml.safe_load(value)
    return chosen


def _print(out: Console, summary: dict[str, Any]) -> None:
    counts = table(f"live replay of {summary['drive']} at {summary['rate']:g}x", "images", "count")
    for name in ("published", "answered"):
        counts.add_row(name, str(summary[name]))
    for reason, count in summary["dropped"].items():
        counts.add_row(f"dropped: {reason}", str(count))
    out.print(counts)
    latency = summary["latency_ms"]
    shown = ", ".join(f"{name} {number(latency[name], 1, ' ms')}" for name in ("p50", "p90", "max"))
    out.print(f"latency from image to pose: {shown}")
    out.print(f"answers: {summary['results']}")


def main() -> None:
    """Run the command; an error is one line and its exit code."""
    try:
        typer.run(replay)
    except GeodistillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
