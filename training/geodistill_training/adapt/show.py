# SPDX-License-Identifier: Apache-2.0
"""The verdict as a table for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

from geodistill_core.cli.output import number, table
from geodistill_training.adapt.verdict import Verdict

_ROWS: tuple[tuple[str, Callable[[dict[str, Any]], Any], int, str], ...] = (
    ("disagreement with odometry, mean", lambda m: m["odometry_m"]["mean"], 3, " m"),
    ("disagreement with odometry, median", lambda m: m["odometry_m"]["median"], 3, " m"),
    ("turn against odometry, median", lambda m: m["odometry_yaw_deg"]["median"], 2, "°"),
    ("distance to GNSS, mean", lambda m: m["gnss_m"]["mean"], 2, " m"),
    ("GNSS residual: bias east", lambda m: m["gnss_m"]["bias_east"], 2, " m"),
    ("GNSS residual: bias north", lambda m: m["gnss_m"]["bias_north"], 2, " m"),
    ("GNSS residual: robust spread", lambda m: m["gnss_m"]["spread"], 2, " m"),
    ("GNSS sigma as stated", lambda m: m["gnss_m"]["stated_sigma"], 2, " m"),
    ("entropy of the heat map, mean", lambda m: m["entropy_nats"]["mean"], 2, " nats"),
    ("localized (status ok)", lambda m: 100 * m["localized_share"], 1, " %"),
)

_TRUTHS = (
    ("true error, mean (not used)", "mean_m", " m"),
    ("true error, median (not used)", "median_m", " m"),
    ("true heading error, median (not used)", "yaw_median_deg", "°"),
)


def print_verdict(out: Console, verdict: Verdict) -> None:
    """Figures of both networks, the decision line by line, and true errors where the drive holds them."""
    figures = table(f"Held-out part, {verdict.old['frames']} frames, answers without GNSS", "", "old", "new")
    for name, of, digits, unit in _ROWS:
        figures.add_row(name, number(of(verdict.old), digits, unit), number(of(verdict.new), digits, unit))
    truths = verdict.truth_not_used or {}
    for name, key, unit in _TRUTHS if truths.get("old") and truths.get("new") else ():
        figures.add_row(name, *(number(truths[which][key], 2, unit) for which in ("old", "new")))
    out.print(figures)
    decision = table("\nDecision", "criterion", "found", "needed", "met")
    for line in verdict.criteria:
        decision.add_row(line.name, f"{line.found:.3g}", line.needed, "yes" if line.met else "no")
    out.print(decision)
    out.print("promoted" if verdict.promoted else "not promoted: the old network stays")
