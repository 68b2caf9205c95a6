# SPDX-License-Identifier: Apache-2.0
"""The figures of a data set's evaluation as the papers tabulate them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geodistill_core.cli.output import number, printable, table
from geodistill_core.cli.summary import remarks

_NAMED, _TEXT_LIMIT = 5, 160
_METRES = ("1m", "3m", "5m")


def print_dataset_summary(out: Console, summary: Mapping[str, Any]) -> None:
    """Means, medians and recalls; the same of every city or drive; what was skipped."""
    title = f"{summary['model']} on {summary['map']}, {summary['protocol']['protocol']} protocol"
    out.print(printable(title), style="bold", markup=False, soft_wrap=True)
    shown = table("", "error", "mean", "median", "1 m", "3 m", "5 m")
    _metres(shown, "position", summary["position_error_m"], summary["recall"])
    for name in ("lateral", "longitudinal"):
        _metres(shown, name, summary[f"{name}_error_m"], summary[f"recall_{name}"])
    for name, scores in summary["baselines"].items():
        _metres(shown, f"baseline: {name}", scores["position_error_m"], scores["recall"])
    out.print(shown)
    out.print()
    yaw, recall = summary["yaw_error_deg"], summary["recall"]
    shares = ", ".join(f"{_share(recall[key])} within {key[0]}°" for key in ("1deg", "5deg"))
    out.print(f"yaw         mean {number(yaw['mean'], 2, '°')}, median {number(yaw['median'], 2, '°')}, {shares}")
    for line in remarks(summary):
        out.print(line, soft_wrap=True)
    if len(summary["areas"]) > 1:
        out.print()
        out.print(_areas(summary["areas"]))
    skipped = summary["skipped"]
    for where, why in list(skipped.items())[:_NAMED]:
        out.print(f"skipped     {printable(f'{where}: {why}')[:_TEXT_LIMIT]}", markup=False, soft_wrap=True)
    if len(skipped) > _NAMED:
        out.print(f"skipped     {len(skipped) - _NAMED} more, named in metrics.json", markup=False)


def _metres(shown: Table, name: str, error: Mapping[str, Any], recall: Mapping[str, Any]) -> None:
    shares = (_share(recall[key]) for key in _METRES)
    shown.add_row(name, number(error["mean"], 2, " m"), number(error["median"], 2, " m"), *shares)


def _share(value: float | None) -> str:
    return number(None if value is None else 100.0 * value, 1, " %")


def _areas(areas: Mapping[str, Any]) -> Table:
    shown = table("", "area", "samples", "mean", "median", "lateral 1 m", "longitudinal 1 m", "yaw mean")
    for name, found in areas.items():
        position = found["position_error_m"]
        shown.add_row(
            escape(printable(name)),
            str(found["frames"]),
            number(position["mean"], 2, " m"),
            number(position["median"], 2, " m"),
            _share(found["recall_lateral"]["1m"]),
            _share(found["recall_longitudinal"]["1m"]),
            number(found["yaw_error_deg"]["mean"], 2, "°"),
        )
    return shown
