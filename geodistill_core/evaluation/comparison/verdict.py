# SPDX-License-Identifier: Apache-2.0
"""From intervals to a plain word: better, worse or undecided, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
# what decides: measure to its name, its unit, and the factor that brings it there
CRITERIA = {
    "position_error_m": ("mean position error", " m", 1.0),
    "yaw_error_deg": ("mean yaw error", "°", 1.0),
    "localized": ("share of frames localized", " %", 100.0),
}
LARGER_IS_BETTER = {"localized", "recall"}
# fewer independent pieces than this decide nothing
FEWEST_PIECES = 5.0


def call(measure: str, low: float, high: float, pieces: float) -> str:
    """The word for one difference between `low` and `high`, from about `pieces` independent pieces of a run."""
    if pieces < FEWEST_PIECES or low <= 0.0 <= high:
        return UNDECIDED
    return BETTER if (low > 0.0) == (measure in LARGER_IS_BETTER) else WORSE


def judge(figures: Mapping[str, Mapping[str, Any]], pieces: float) -> tuple[str, str]:
    """The verdict over all criteria and its reason.

    Better: plainly better in one criterion at least and plainly worse in none. Worse: the other way round. Everything
    else is undecided.
    """
    means = {name: figures[name]["mean"] for name in CRITERIA if name in figures}
    if all(one["difference"] == one["low"] == one["high"] == 0.0 for one in means.values()):
        return UNDECIDED, "The runs agree in every frame."
    if pieces < FEWEST_PIECES:
        need = f"{FEWEST_PIECES:g} are needed"
        return UNDECIDED, f"The run is too short: it amounts to {pieces:.1f} independent pieces, {need}."
    words = {name: one["verdict"] for name, one in means.items()}
    found = set(words.values())
    verdict = UNDECIDED if {BETTER, WORSE} <= found or found == {UNDECIDED} else BETTER if BETTER in found else WORSE
    plain = [name for name, word in words.items() if word != UNDECIDED]
    said = [_sentence(name, means[name]) for name in plain or means]
    if {BETTER, WORSE} <= found:
        said.append("One gain against another loss: what counts more is for you to say.")
    elif not plain:
        said.append("Every interval holds zero.")
    return verdict, " ".join(said)


def _sentence(measure: str, one: Mapping[str, Any]) -> str:
    name, unit, scale = CRITERIA[measure]
    low, high = scale * one["low"], scale * one["high"]
    moved = f"from {scale * one['baseline']:.2f} to {scale * one['this']:.2f}{unit}"
    text = f"{name} {moved} ({scale * one['difference']:+.3f}{unit}, between {low:+.3f} and {high:+.3f})."
    return text[0].upper() + text[1:]
