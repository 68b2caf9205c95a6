# SPDX-License-Identifier: Apache-2.0
"""`geodistill checkpoint`: list and verify trained networks, import published ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, progress, table
from geodistill_core.errors import ConfigError

app = typer.Typer(help="List, verify and import trained networks.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """List, verify and import trained networks."""


def _row(name: str) -> dict[str, Any]:
    from geodistill_core.models.checkpoint import resolve
    from geodistill_core.models.manifest import read_manifest

    manifest = read_manifest(resolve(name))
    return {
        "name": manifest.name,
        "architecture": manifest.architecture,
        "sha256": manifest.sha256,
        "temperature": manifest.calibration.temperature if manifest.calibration else None,
        "licence": manifest.licence,
    }


@app.command("list")
def list_checkpoints(
    folders: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Argument(help="Checkpoints, or folders of them, to list beside those inside the package."),
    ] = None,
    json_path: JsonOption = None,
) -> None:
    """The checkpoints inside the package, and those in the given folders."""
    from geodistill_core.models.checkpoint import checkpoints_in, shipped_checkpoints

    rows = [_row(name) for name in shipped_checkpoints()]
    rows += [_row(str(path.resolve())) for folder in folders or [] for path in checkpoints_in(folder)]

    def render(console: Console) -> None:
        shown = table("checkpoints", "name", "architecture", "SHA-256", "licence")
        for row in rows:
            shown.add_row(row["name"], row["architecture"], row["sha256"][:12], row["licence"])
        console.print(shown)

    emit({"checkpoints": rows}, json_path, render)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="A shipped checkpoint's name, or a folder.")],
    json_path: JsonOption = None,
) -> None:
    """Check hash, keys, shapes, values and the probe's output."""
    from geodistill_core.models.checkpoint import load_checkpoint

    network, _ = load_checkpoint(name)
    facts = {**_row(name), "parameters": sum(p.numel() for p in network.parameters()), "verified": True}

    def render(console: Console) -> None:
        shown = table(name, "", "")
        for key, value in facts.items():
            shown.add_row(key, str(value))
        console.print(shown)

    emit(facts, json_path, render)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A published .pth, .pt or .safetensors file; nothing in it is run.")],
    arch: Annotated[str, typer.Option(help="The architecture that it was trained as.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint folder to write.")],
    geometry: Annotated[
        str, typer.Option(help="compat: the published conventions, which published weights need; or corrected.")
    ] = "compat",
    licence: Annotated[str, typer.Option(help="The licence of the weights.")] = "unknown: ask the authors",
    argument: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--argument", "-a", help="NAME=VALUE for the network, as metres_per_pixel=0.1; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
    json_path: JsonOption = None,
) -> None:
    """Make a checkpoint folder of a published file.

    Exits with 4 when the file is damaged, hostile, or of another architecture, and then says which one it fits.
    """
    from geodistill_core.models.importing.published import import_published

    if output.exists() and not force:
        raise ConfigError(f"{output} exists; give another folder, or --force to replace it")
    given = dict(_argument(text) for text in argument or [])
    with progress(f"import {file.name}"):
        manifest, found = import_published(
            file,
            arch,
            output,
            geometry=geometry,  # type: ignore[arg-type]  # validated there
            licence=licence,
            arguments=given,
        )
    told = {"name", "architecture", "arguments", "sha256", "licence", "source", "probe"}
    facts = {**manifest.model_dump(mode="json", include=told), "tensors": len(found.keys)}
    emit(facts, json_path, lambda out: _render_import(out, output, facts))


def _argument(text: str) -> tuple[str, Any]:
    """NAME=VALUE, whose value is JSON or else a text."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals) or name == "geometry":
        raise ConfigError(f"--argument {text!r} is not NAME=VALUE; geometry has its own option")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _render_import(console: Console, folder: Path, facts: dict[str, Any]) -> None:
    source, expected = facts["source"], facts["probe"]["expected"]
    shown = table(f"{facts['architecture']} in {folder}", "", "")
    shown.add_row("file", f"{source['file']} ({source['format']})")
    shown.add_row("file sha256", source["sha256"])
    shown.add_row("weights sha256", facts["sha256"])
    shown.add_row("mapped tensors", str(facts["tensors"]))
    shown.add_row("dropped", _families(source["dropped"]))
    shown.add_row("from float64", _families(source["rounded"]))
    shown.add_row("arguments", ", ".join(f"{key} {value}" for key, value in facts["arguments"].items()))
    if "backbone" in facts["arguments"] and "backbone_sha256" not in facts["arguments"]:
        shown.add_row("backbone", "not on this machine: its hash is not recorded")
    shown.add_row("probe", " ".join(f"{value:.4g}" for value in expected[:4]) + " ...")
    shown.add_row("licence", facts["licence"])
    console.print(shown)


def _families(keys: list[str]) -> str:
    """Keys by their first part: `TransRefine 66, coe_R 1`."""
    counts = Counter(key.partition(".")[0] for key in keys)
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "nothing"
