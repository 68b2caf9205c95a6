# SPDX-License-Identifier: Apache-2.0
"""`geodistill doctor`: what is installed, and what to do about the rest."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console

from geodistill_core.cli.output import JsonOption, emit, table

app = typer.Typer(add_completion=False)

MARKS = {"ok": "[green]ok[/green]", "absent": "[yellow]absent[/yellow]", "broken": "[red]broken[/red]"}


@app.command()
def doctor(json_path: JsonOption = None) -> None:
    """What is installed, and what to do about the rest.

    Exits with 0 when the core works, whatever optional parts are absent, and with 3 when it does not.
    """
    from geodistill_core.cli.checks import all_checks

    checks = all_checks()
    works = all(check.state != "broken" for check in checks if check.core)
    payload = {"core_works": works, "checks": [check.as_dict() for check in checks]}
    emit(payload, json_path, lambda out: _render(out, payload))
    if not works:
        raise typer.Exit(3)


def _render(out: Console, payload: dict[str, Any]) -> None:
    shown = table("GeoDistill doctor", "what", "state", "found")
    shown.columns[1].justify = shown.columns[2].justify = "left"
    for check in payload["checks"]:
        shown.add_row(check["name"], MARKS[check["state"]], check["detail"])
    out.print(shown)
    remedies = [check for check in payload["checks"] if check["remedy"]]
    if remedies:
        out.print()
    for check in remedies:
        out.print(f"[bold]{check['name']}[/bold]: {check['remedy']}", soft_wrap=True)
    out.print()
    out.print("The core works." if payload["core_works"] else "The core does not work; see above.")
