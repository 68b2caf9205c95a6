# SPDX-License-Identifier: Apache-2.0
"""`geodistill data`: look into data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console
from rich.markup import escape

from geodistill_core.cli.output import JsonOption, emit, progress, table

if TYPE_CHECKING:
    from geodistill_core.datasets.check import CheckReport

app = typer.Typer(help="Look into data sets.", no_args_is_help=True)

_STYLES = {"note": "green", "missing": "yellow", "broken": "red", "leak": "red"}
_NAMED = 3


@app.callback()
def main() -> None:
    """Look into data sets."""


@app.command()
def check(
    dataset: Annotated[str, typer.Argument(help="vigor or kitti.")],
    root: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    *,
    lists: Annotated[
        Optional[Path],  # noqa: UP045 - Typer evaluates the annotation, and Python 3.10 must too
        typer.Option(help="Folder of KITTI's published lists, if it is not ROOT."),
    ] = None,
    decode: Annotated[str, typer.Option(help="Pictures to decode: none, sample or all.")] = "sample",
    html: Annotated[Path, typer.Option(help="Page with ten samples and their labels drawn.")] = Path("data-check.html"),
    json_path: JsonOption = None,
) -> None:
    """Say what is there, what is missing or broken, and whether training and test share ground.

    Exits with 3 when something is missing or broken but the rest can be used, with 4 when nothing can or a split leaks.
    """
    from geodistill_core.datasets.check import check_kitti, check_vigor
    from geodistill_core.datasets.check.overlays import overlays
    from geodistill_core.errors import ConfigError
    from geodistill_core.evaluation.report.data_page import render_data_page

    if dataset not in ("vigor", "kitti"):
        raise ConfigError(f"data set {dataset!r} is neither vigor nor kitti")
    if decode not in ("none", "sample", "all"):
        raise ConfigError(f"decode {decode!r} is none of none, sample, all")
    if lists is not None and dataset != "kitti":
        raise ConfigError("--lists is for kitti; VIGOR's label files lie in the tree")
    with progress("decoding pictures") as step:
        if dataset == "vigor":
            report, found = check_vigor(root, decode, step)  # type: ignore[arg-type]  # validated above
        else:
            report, found = check_kitti(root, decode, step, lists)  # type: ignore[arg-type, assignment]
    html.parent.mkdir(parents=True, exist_ok=True)
    html.write_text(render_data_page(report, overlays(found)), encoding="utf-8")
    emit(report.to_json(), json_path, lambda out: _render(out, report, html))
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _render(out: Console, report: CheckReport, html: Path) -> None:
    counts = table(str(report.root), "list", "samples", "with every file")
    for one in report.lists:
        counts.add_row(one.name, str(one.samples), str(one.complete))
        for group, samples in one.groups.items():
            counts.add_row(f"  {group}", str(samples), "")
    out.print(counts)
    for found in report.findings:
        style = _STYLES[found.severity]
        out.print(f"[{style}]{found.severity}[/]: {escape(found.text)}: {found.count}", soft_wrap=True)
        for case in found.examples[:_NAMED]:
            out.print(f"    {case}", soft_wrap=True, markup=False)
    if any(found.severity == "missing" for found in report.findings):
        out.print(f"\nexpected:\n{report.layout}", markup=False, soft_wrap=True)
    out.print(f"decoded {report.decoded} pictures; samples with their labels drawn: {html}", soft_wrap=True)
