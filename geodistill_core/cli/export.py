# SPDX-License-Identifier: Apache-2.0
"""`geodistill export`: a network's three calls for another engine, compared with torch before they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, progress, table
from geodistill_core.errors import ConfigError

app = typer.Typer(add_completion=False)
_BACKENDS = {"onnx": "onnxruntime", "onnxruntime": "onnxruntime", "openvino": "openvino", "tensorrt": "tensorrt"}
_PRECISIONS = ("fp32", "bf16", "fp16", "int8")
_CAMERAS = ("panorama", "pinhole")


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A shipped checkpoint's name, or a checkpoint folder.")],
    *,
    to: Annotated[str, typer.Option(help="onnx, openvino or tensorrt.")] = "onnx",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, fp16 or int8; what fails the gate becomes safer.")
    ] = "fp32",
    output: Annotated[
        Optional[Path],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Option("-o", "--output", help="The folder to write."),
    ] = None,
    build_only: Annotated[
        bool, typer.Option("--build-only", help="Fill this machine's engine cache, so that nothing is built later.")
    ] = False,
    camera: Annotated[str, typer.Option(help="panorama or pinhole: what the vehicle carries.")] = "panorama",
    horizon_share: Annotated[
        float, typer.Option(help="Of a pinhole image's height: the highest row in which the horizon may lie.")
    ] = 0.35,
    tile_extent_m: Annotated[
        float, typer.Option(help="Width of the tiles, as the node's parameter of that name.")
    ] = 96.0,
    yaws: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Headings that one call compares (default: those of a heading known to 10 degrees)."),
    ] = None,
    calibrate: Annotated[
        str, typer.Option(metavar="synth|DRIVE", help="Where int8 takes its ranges from: a recorded drive is best.")
    ] = "synth",
    map_path: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--map", help="Imagery of that drive; by default the one that belongs to it."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """Write ONNX files or engines of a network, and say how far their poses are from torch's.

    Exits with 4 when no precision gives torch's poses.
    """
    from geodistill_core.runtime.exporting import ExportOrder, build_into_cache, export_to

    for what, value, known in (
        ("--to", to, tuple(_BACKENDS)),
        ("--camera", camera, _CAMERAS),
        ("--precision", precision, _PRECISIONS),
    ):
        if value not in known:
            raise ConfigError(f"{what} {value!r} is none of {', '.join(known)}")
    if (output is None) != build_only:
        raise ConfigError("give either a folder with -o, or --build-only for this machine's engine cache")
    order = ExportOrder(
        name, _BACKENDS[to], precision, camera, horizon_share, tile_extent_m, yaws,
        None if calibrate == "synth" else Path(calibrate), map_path,
    )  # fmt: skip
    with progress(f"export {name} to {to}"):
        facts = build_into_cache(order) if output is None else export_to(order, output)
    emit(facts, json_path, lambda out: _render(out, name, facts))


def _render(console: Console, name: str, facts: dict[str, Any]) -> None:
    shown = table(name, "", "")
    for key, value in facts.items():
        shown.add_row(key.replace("_", " "), ", ".join(value) if isinstance(value, list) else str(value))
    console.print(shown)
