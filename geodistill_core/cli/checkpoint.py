# SPDX-License-Identifier: Apache-2.0
"""`geodistill checkpoint`: list and verify trained networks."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, table

app = typer.Typer(help="List and verify trained networks.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """List and verify trained networks."""


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
def list_shipped(json_path: JsonOption = None) -> None:
    """The checkpoints inside the package."""
    from geodistill_core.models.checkpoint import shipped_checkpoints

    rows = [_row(name) for name in shipped_checkpoints()]

    def render(console: Console) -> None:
        shown = table("shipped checkpoints", "name", "architecture", "SHA-256", "licence")
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
