# SPDX-License-Identifier: Apache-2.0
"""The results as tables that people read."""

from __future__ import annotations

from typing import Any


def as_markdown(found: dict[str, Any]) -> str:
    """Errors of every variant by what it was judged on, then the reductions with their intervals."""
    keys = list(dict.fromkeys(key for variant in found["variants"].values() for key in variant["results"]))
    lines = ["| model | seeds | steps | CPU s | " + " | ".join(keys) + " |", "| --- " * (len(keys) + 4) + "|"]
    for variant in found["variants"].values():
        cells = [_cell(variant["results"].get(key)) for key in keys]
        seconds = "–" if variant["cpu_seconds"] is None else f"{variant['cpu_seconds']:.0f}"
        told = f"{variant['title']} | {variant['seeds']} | {variant['steps']} | {seconds}"
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
    lines += ["", "Mean / median error in metres, median heading error in degrees; averages over seeds.", ""]
    lines += ["| against its control | " + " | ".join(keys) + " |", "| --- " * (len(keys) + 1) + "|"]
    for pair in found["comparisons"]:
        method, control = (found["variants"][pair[role]]["title"] for role in ("method", "control"))
        gains = [_gain(pair["reduction_of_mean"].get(key)) for key in keys]
        lines.append(f"| {method} / {control} | " + " | ".join(gains) + " |")
    lines += ["", "Change of the mean error in per cent with its 95 % bootstrap interval over cities.", ""]
    return "\n".join(lines)


def _cell(result: dict[str, float] | None) -> str:
    if result is None:
        return ""
    return f"{result['mean_m']:.2f} / {result['median_m']:.2f} m, {result['median_deg']:.1f}°"


def _gain(gain: dict[str, float] | None) -> str:
    if gain is None:
        return ""
    return f"{-100 * gain['share']:+.0f} ({-100 * gain['high']:+.0f} to {-100 * gain['low']:+.0f})"
