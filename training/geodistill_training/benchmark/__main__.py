# SPDX-License-Identifier: Apache-2.0
"""`python -m geodistill_training.benchmark`: the whole table, resumable; done variants are not done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from geodistill_core.cli.main import describe
from geodistill_training.benchmark.markdown import as_markdown
from geodistill_training.benchmark.plan import load_plan
from geodistill_training.benchmark.run import run, table
from geodistill_training.follow import Machine


def main(
    plan: Annotated[Path | None, typer.Option(help="A plan; the shipped SynthCity plan unless given.")] = None,
    folder: Annotated[Path, typer.Option(help="Where variants and results are kept.")] = Path("runs/benchmark"),
    cache: Annotated[Path, typer.Option(help="Where rendered cities are kept.")] = Path("runs/cache"),
    workers: Annotated[int, typer.Option(min=0, help="Processes that load data.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads that compute, for each job.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Variants that are trained at the same time.")] = 1,
    table_only: Annotated[bool, typer.Option("--table-only", help="Only tabulate what is done.")] = False,
) -> None:
    """Train and judge every variant, then write results.json and table.md into the folder."""
    chosen = load_plan(plan)
    found = table(chosen, folder) if table_only else run(chosen, folder, Machine(cache, workers, threads), jobs)
    (folder / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "table.md").write_text(as_markdown(found))
    typer.echo(as_markdown(found))


if __name__ == "__main__":
    try:
        typer.run(main)
    except Exception as error:
        message, code = describe(error)
        typer.echo(f"benchmark: {message}", err=True)
        raise SystemExit(code) from None
