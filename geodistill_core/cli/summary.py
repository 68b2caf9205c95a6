# SPDX-License-Identifier: Apache-2.0
"""The metrics of a run as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from geodistill_core.cli.output import number, printable, table

QUANTILES = ("median", "p90", "p95", "max")
ROWS = (
    ("position", "position_error_m", " m"),
    ("lateral", "lateral_error_m", " m"),
    ("longitudinal", "longitudinal_error_m", " m"),
    ("yaw", "yaw_error_deg", "°"),
)


def print_summary(out: Console, summary: Mapping[str, Any]) -> None:
    """Errors, recall, honesty of the covariance, latency."""
    shown = table(f"{summary['model']} on {summary['map']}", "error", *QUANTILES)
    baselines = summary.get("baselines", {})
    rows = ROWS if baselines else (*ROWS, ("GNSS alone", "gnss_error_m", " m"))
    for name, key, unit in rows:
        shown.add_row(name, *(number(summary[key][q], 2, unit) for q in QUANTILES))
    for name, scores in baselines.items():
        shown.add_row(f"baseline: {name}", *(number(scores["position_error_m"][q], 2, " m") for q in QUANTILES))
    out.print(shown)
    out.print()
    for line in remarks(summary):
        out.print(line, soft_wrap=True, markup=False)


def remarks(summary: Mapping[str, Any]) -> list[str]:
    """What the table does not show, a sentence each."""
    recall, nees, latency = summary["recall"], summary["nees"], summary["latency_ms"]
    lines = [f"frames      {summary['frames_localized']} of {summary['frames']} localized{_dropped(summary)}"]
    if recall["1m"] is not None:
        shares = (f"{100 * recall[k]:.0f} % within {t}" for k, t in (("1m", "1 m"), ("3m", "3 m"), ("5deg", "5°")))
        lines.append(f"recall      {', '.join(shares)}")
        lines.append(
            f"covariance  {100 * summary['coverage']['0.95']:.0f} % of truths inside the 95 % ellipse, "
            f"mean NEES {nees['mean']:.2f} (ideal {nees['dof']})"
        )
    heatmap = summary.get("heatmap", {})
    if heatmap.get("nll_mean") is not None:
        lines.append(
            f"heat map    {heatmap['nll_mean']:.2f} nats at the truth (uniform: {heatmap['nll_uniform']:.2f}), "
            f"HPD levels off by {heatmap['hpd_max_deviation']:.2f}, {heatmap['truth_outside']} truths outside"
        )
    if latency["p50"] is not None:
        lines.append(f"latency     median {latency['p50']:.0f} ms, 99 % within {latency['p99']:.0f} ms")
    lines += [f"recording   {printable(remark)}" for remark in summary.get("remarks", ())]
    return lines


def _dropped(summary: Mapping[str, Any]) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(summary["dropped"].items()))
    return f"; dropped: {reasons}" if reasons else ""


def is_partial(summary: Mapping[str, Any]) -> bool:
    """Whether anything of the drive is missing from these metrics."""
    damaged = summary.get("salvaged", {}).get("damaged", False)
    return bool(summary["dropped"]) or "incomplete" in summary or damaged
