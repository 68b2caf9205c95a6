# SPDX-License-Identifier: Apache-2.0
"""`geodistill bench`: how long networks take on this machine, what a replay costs beyond them, and what maps cost."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from geodistill_core.cli.bench_tracking import bench_tracking
from geodistill_core.cli.output import JsonOption, emit, progress, table


class NetworksByDefault(TyperGroup):
    """`bench tiny --runs 5` is `bench networks tiny --runs 5`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command where none is named."""
        named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["networks", *args])


app = typer.Typer(add_completion=False, cls=NetworksByDefault)
app.command("tracking")(bench_tracking)


@app.callback()
def main() -> None:
    """How long networks take on this machine (the default), and what replays and maps cost beyond them."""


@app.command("networks")
def bench(
    networks: Annotated[
        Optional[list[str]],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Argument(help="Architectures to measure; all when none is named."),
    ] = None,
    geometry: Annotated[str, typer.Option(help="compat (published conventions) or corrected.")] = "corrected",
    runs: Annotated[int, typer.Option(help="Timed passes of each network.")] = 9,
    threads: Annotated[int, typer.Option(help="Threads that torch uses.")] = 2,
    yaws: Annotated[int, typer.Option(help="Heading hypotheses of a match.")] = 1,
    backbone: Annotated[bool, typer.Option("--backbone", help="Time DINOv2 too, with random weights.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Latency of each network's map, ground and match, at its published input sizes with fresh weights."""
    from geodistill_core.errors import ConfigError
    from geodistill_core.evaluation.bench.networks import BenchOptions
    from geodistill_core.evaluation.bench.networks import bench as measure
    from geodistill_core.models.registry import ARCHITECTURES, architecture

    if geometry not in ("compat", "corrected"):
        raise ConfigError(f"geometry {geometry!r} is neither compat nor corrected")
    names = [name for name in networks or sorted(ARCHITECTURES) if architecture(name)]
    options = BenchOptions("compat" if geometry == "compat" else "corrected", runs, threads, yaws, backbone)
    with progress("measuring", total=len(names) * runs) as step:
        result = measure(names, options, step)
    emit(result, json_path, lambda out: _render(out, result))


def _render(out: Console, result: dict[str, Any]) -> None:
    title = f"median of {result['runs']} passes, {result['machine']['threads']} threads, fp32, milliseconds (p90)"
    shown = table(title, "network", "map", "ground", "match", "seen tile", "new tile", "M parameters", "GMAC")
    for row in result["networks"]:
        stages = row["stages"]
        cells = [*(stages[stage] for stage in ("map", "ground", "match")), row["seen_tile"], row["new_tile"]]
        shown.add_row(
            row["name"],
            *(f"{cell['median_ms']:.0f} ({cell['p90_ms']:.0f})" for cell in cells),
            f"{row['parameters'] / 1e6:.1f}",
            f"{sum(stage['gmacs'] for stage in stages.values()):.1f}",
        )
    out.print(shown)
    out.print(f"DINOv2: {result['backbone']}")


@app.command("runtime")
def bench_runtime(
    model: Annotated[
        str, typer.Argument(help="A shipped checkpoint, a checkpoint folder, or an architecture with fresh weights.")
    ] = "tiny",
    *,
    runtimes: Annotated[
        str, typer.Option("--on", help="Back ends, separated by commas; a precision may follow after a colon.")
    ] = "onnxruntime,openvino,openvino:int8",
    frames: Annotated[int, typer.Option(help="Frames on each back end, taken in turn.")] = 30,
    threads: Annotated[int, typer.Option(help="Threads of the network.")] = 2,
    sigma_yaw_deg: Annotated[
        float, typer.Option(help="How well the heading is known: sets how many are tried.")
    ] = 10.0,
    json_path: JsonOption = None,
) -> None:
    """From JPEG to pose on each back end beside plain torch, the tile being in the cache; builds what is not built."""
    from geodistill_core.evaluation.bench.runtimes import RuntimeBenchOptions, bench_runtimes

    options = RuntimeBenchOptions(model, tuple(runtimes.split(",")), frames, threads, sigma_yaw_deg)
    with progress("measuring", total=frames + len(options.runtimes)) as step:
        result = bench_runtimes(options, step)
    emit(result, json_path, lambda out: _render_runtimes(out, result))


def _render_runtimes(out: Console, result: dict[str, Any]) -> None:
    title = f"{result['model']}: JPEG to pose, {result['headings']} headings, {result['machine']['threads']} threads"
    shown = table(title, "back end", "precision", "median", "p90", "times faster", "CPU time", "heat map differs")
    for row in result["runtimes"]:
        shown.add_row(
            row["name"],
            row["runtime.precision"],
            f"{row['median_ms']:.1f} ms",
            f"{row['p90_ms']:.1f} ms",
            f"{row['times_faster']:.2f}",
            f"{row['cpu_ms']:.1f} ms",
            f"{row['heatmap_difference']:.1e}",
        )
    out.print(shown)
    for name, why in result["failures"].items():
        out.print(escape(f"{name} is left out: {why}"), soft_wrap=True)


@app.command("replay")
def bench_replay(
    *,
    model: Annotated[str, typer.Option(help="Name of a shipped checkpoint, or a checkpoint folder.")] = "tiny",
    frames: Annotated[int, typer.Option(help="Panoramas of 2048 x 1024 pixels in the made-up drive.")] = 1000,
    json_path: JsonOption = None,
) -> None:
    """What a replay costs beyond inference, and how fast images are decoded and projected, on one core."""
    from geodistill_core.evaluation.bench.replay import STEPS, ReplayBenchOptions
    from geodistill_core.evaluation.bench.replay import bench_replay as measure

    options = ReplayBenchOptions(model, frames)
    with progress("measuring", total=STEPS) as step:
        result = measure(options, step)
    emit(result, json_path, lambda out: _render_replay(out, result))


def _render_replay(out: Console, result: dict[str, Any]) -> None:
    spent, limits = result["milliseconds_a_frame"], result["limits"]
    shown = table(
        f"{result['frames']} frames of {result['image_px'][1]} x {result['image_px'][0]}, one core",
        "CPU time a frame",
        "ms",
        "",
    )
    for name in ("overhead", "intake", "decode"):
        shown.add_row(name, f"{spent[name]:.2f}")
    out.print(shown)
    out.print(f"overhead beyond inference  {spent['overhead']:.2f} ms a frame (at most {limits['overhead_ms']:g})")
    intake = f"{result['intake_hz']:.0f} frames a second (at least {limits['intake_hz']:g})"
    out.print(f"decode and projection      {intake}")


@app.command(
    "node", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def bench_node(context: typer.Context) -> None:
    """The ROS 2 node: latency from image to pose, a flood of images, and what it adds to the network's time."""
    import subprocess
    import sys

    from geodistill_core.evaluation.ros import require_ros

    require_ros("geodistill bench node")
    done = subprocess.run([sys.executable, "-m", "geodistill_ros.bench", *context.args], check=False)
    raise typer.Exit(done.returncode)


@app.command("map")
def bench_map(
    *,
    tiles: Annotated[int, typer.Option(help="Tiles in the made-up cache.")] = 100_000,
    reads: Annotated[int, typer.Option(help="Tiles for a network that are taken from it.")] = 100,
    seconds: Annotated[float, typer.Option(help="Length of the drive on a bad network, in real time.")] = 60.0,
    json_path: JsonOption = None,
) -> None:
    """How soon a large tile cache serves, how long a tile takes, and whether frames wait for a bad network."""
    from geodistill_core.evaluation.bench.maps import MapBenchOptions
    from geodistill_core.evaluation.bench.maps import bench_map as measure

    options = MapBenchOptions(tiles, reads, seconds)
    with progress("measuring", total=options.steps) as step:
        result = measure(options, step)
    emit(result, json_path, lambda out: _render_map(out, result))


def _render_map(out: Console, result: dict[str, Any]) -> None:
    cache, drive = result["cache"], result["drive"]
    shown = table(f"a cache of {result['tiles']} tiles, one core", "", "measured", "limit")
    shown.add_row("start to first tile", f"{cache['cold_start_s']:.2f} s", f"{cache['limits']['cold_start_s']:g} s")
    shown.add_row(
        "tile cut for an earlier frame",
        f"{cache['from_memory_ms']:.2f} ms",
        f"{cache['limits']['from_memory_ms']:g} ms",
    )
    shown.add_row("tile cut anew from decoded imagery", f"{cache['from_decoded_ms']:.1f} ms", "")
    shown.add_row("tile cut anew from files", f"{cache['from_files_ms']:.1f} ms", "")
    shown.add_row("one file, read and checked", f"{cache['one_file_ms']:.2f} ms", "")
    out.print(shown)
    network = f"{drive['latency_ms']:.0f} ms latency, {drive['failure_share']:.0%} failures"
    shown = table(f"{drive['seconds']:g} s at {drive['speed_mps']:g} m/s, {network}", "", "measured", "limit")
    limits = drive["limits"]
    shown.add_row("frames that waited", f"{drive['frames_waited']} of {drive['frames']}", str(limits["frames_waited"]))
    shown.add_row("frames with a full tile", f"{drive['full_tiles']:.1%}", f"{limits['full_tiles']:.0%}")
    shown.add_row("connections at a time", str(drive["peak_connections"]), str(limits["peak_connections"]))
    out.print(shown)
