# SPDX-License-Identifier: Apache-2.0
"""Is the new version better? Paired differences, with intervals that know how long a drive's frames are alike.

The verdict weighs three criteria: the mean position error, the mean yaw error, and the share of frames localized.
Their intervals hold together with CONFIDENCE, over all runs that are compared with the baseline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from geodistill_core.evaluation.comparison.bootstrap import (
    REPLICATES,
    SEED,
    Strata,
    dependence,
    intervals,
    weighted_quantiles,
)
from geodistill_core.evaluation.comparison.paired import ERRORS, Pairs, Run, pair
from geodistill_core.evaluation.comparison.verdict import CRITERIA, call, judge
from geodistill_core.evaluation.metrics import POSITION_RECALL_M, YAW_RECALL_DEG
from geodistill_core.types import Array

CONFIDENCE = 0.95
SHOWN_FRAMES = 10
QUANTILES = {"median": 0.5, "p95": 0.95}
RECALL = [("position_error_m", f"{limit}m", limit) for limit in POSITION_RECALL_M] + [
    ("yaw_error_deg", f"{limit}deg", limit) for limit in YAW_RECALL_DEG
]
NAMED_FACTS = ("title", "model", "map", "seed", "fingerprint")
FACT_GROUPS = ("configuration", "hashes", "versions")

Statistic = Callable[[Array], list[float]]


@dataclass(frozen=True)
class Comparison:
    """`summary` is JSON-ready; `pairs` are the frames that it is about, for each run after the first."""

    summary: Mapping[str, Any]
    pairs: Sequence[Pairs]


def compare(runs: Sequence[Run], step: Callable[..., None] = lambda count=1: None) -> Comparison:
    """Each run against the first; `step` is called after each.

    In the summary, `comparisons` hold `verdict` and `because`, and figures with `baseline`, `this`, and `difference`
    (this minus baseline) between `low` and `high`. Raises ConfigError and DatasetError as pairing does.
    """
    baseline, others = runs[0], runs[1:]
    level = 1.0 - (1.0 - CONFIDENCE) / (len(CRITERIA) * len(others))
    pairs = [pair(baseline, other) for other in others]
    comparisons = []
    for other, paired in zip(others, pairs, strict=True):
        comparisons.append(_compare(paired, baseline, other, level))
        step()
    summary = {
        "baseline": baseline.name,
        "runs": [_overview(run) for run in runs],
        "confidence": CONFIDENCE,
        "level": level,
        "replicates": REPLICATES,
        "seed": SEED,
        "comparisons": comparisons,
    }
    return Comparison(summary, pairs)


def _overview(run: Run) -> dict[str, Any]:
    named = {key: run.facts.get(key) for key in (*NAMED_FACTS, "incomplete")}
    localized = sum(frame.answer is not None for frame in run.frames)
    return {"name": run.name, "frames": len(run.frames), "frames_localized": localized, **named}


def _compare(pairs: Pairs, baseline: Run, other: Run, level: float) -> dict[str, Any]:
    used = np.isfinite(pairs.difference("position_error_m"))
    strata = _strata(pairs)
    names, base, this = _names(used), _statistics(pairs.baseline, used), _statistics(pairs.other, used)
    even = np.ones(len(used))
    ours, theirs = base(even), this(even)
    low, high = intervals(strata, lambda weights: np.subtract(this(weights), base(weights)), level)
    figures: dict[str, dict[str, Any]] = {}
    for i, (measure, statistic) in enumerate(names):
        figures.setdefault(measure, {})[statistic] = {
            "baseline": ours[i],
            "this": theirs[i],
            "difference": theirs[i] - ours[i],
            "low": float(low[i]),
            "high": float(high[i]),
            "verdict": call(measure, low[i], high[i], strata.independent),
        }
    verdict, because = judge(figures, strata.independent)
    return {
        "name": other.name,
        "verdict": verdict,
        "because": because,
        "pairs": len(used),
        "pairs_scored": int(used.sum()),
        "only_baseline": pairs.only_baseline,
        "only_this": pairs.only_other,
        "independent": strata.independent,
        "figures": figures,
        "groups": _groups(pairs, used, strata),
        "frames": _extremes(pairs),
        "differs": _differing(baseline.facts, other.facts),
    }


def _names(used: Array) -> list[tuple[str, str]]:
    errors = [(name, statistic) for name in ERRORS for statistic in ("mean", *QUANTILES)]
    recall = [("recall", name) for _, name, _ in RECALL]
    return [*(errors + recall if used.any() else []), ("localized", "mean")]


def _statistics(measures: Mapping[str, Array], used: Array) -> Statistic:
    """A function of the frames' weights [N] that gives one run's figures in the order of `_names`."""
    values = {name: measures[name][used] for name in ERRORS}
    quantiles = {name: weighted_quantiles(column, tuple(QUANTILES.values())) for name, column in values.items()}
    within = np.array([values[name] <= limit for name, _, limit in RECALL], dtype=np.float64)
    localized = measures["localized"]

    def of(weights: Array) -> list[float]:
        row: list[float] = []
        scored = weights[used]
        total = max(float(scored.sum()), 1e-12)
        for name, column in values.items() if used.any() else ():
            row += [float(scored @ column) / total, *quantiles[name](scored)]
        if used.any():
            row += (within @ scored / total).tolist()
        return [*row, float(weights @ localized) / float(weights.sum())]

    return of


def _strata(pairs: Pairs) -> Strata:
    """Each group with the longest dependence of any criterion's difference."""
    edges = np.cumsum([0, *pairs.sizes])
    columns = [pairs.difference(name) for name in CRITERIA]
    found = [
        max((dependence(column[start:stop]) for column in columns), key=lambda one: one.block)
        for start, stop in pairwise(edges)
    ]
    return Strata(pairs.sizes, tuple(found))


def _groups(pairs: Pairs, used: Array, strata: Strata) -> list[dict[str, Any]]:
    """The mean difference of the position error in each drive or city, each interval for itself."""
    edges = np.cumsum([0, *pairs.sizes])
    difference = np.where(used, pairs.difference("position_error_m"), 0.0)
    rows = []
    for g, (name, one) in enumerate(zip(pairs.names, strata.dependences, strict=True)):
        part = slice(int(edges[g]), int(edges[g + 1]))
        alone = Strata((pairs.sizes[g],), (one,))
        rows.append({"name": name, "pairs": pairs.sizes[g], "block": one.block})
        if used[part].any():
            mean = _mean(difference[part], used[part])
            low, high = intervals(alone, mean, CONFIDENCE)
            rows[-1] |= {
                "difference": float(mean(np.ones(pairs.sizes[g]))[0]),
                "low": float(low[0]),
                "high": float(high[0]),
                "verdict": call("position_error_m", low[0], high[0], alone.independent),
            }
    return rows


def _mean(values: Array, used: Array) -> Callable[[Array], Array]:
    return lambda weights: np.array([weights @ values / max(float(weights @ used), 1e-12)])


def _extremes(pairs: Pairs) -> dict[str, list[dict[str, Any]]]:
    """The frames whose position error changed most, each way."""
    difference = pairs.difference("position_error_m")
    order = np.argsort(np.where(np.isfinite(difference), difference, 0.0), kind="stable")
    better = [i for i in order[:SHOWN_FRAMES] if difference[i] < 0.0]
    worse = [i for i in order[::-1][:SHOWN_FRAMES] if difference[i] > 0.0]
    return {"worse": [_row(pairs, int(i)) for i in worse], "better": [_row(pairs, int(i)) for i in better]}


def _row(pairs: Pairs, index: int) -> dict[str, Any]:
    frame = pairs.frames[index]
    base, this = (float(side["position_error_m"][index]) for side in (pairs.baseline, pairs.other))
    return {"key": frame.key, "stamp_ns": frame.stamp_ns, "baseline": base, "this": this, "difference": this - base}


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What was set or used differently: name to [baseline, this]."""
    left, right = _flat(ours), _flat(theirs)
    return {
        name: [left.get(name), right.get(name)]
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    }


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: facts[name] for name in NAMED_FACTS if name in facts}
    for group in FACT_GROUPS:
        entries = facts.get(group)
        flat |= {f"{group}: {key}": value for key, value in entries.items()} if isinstance(entries, dict) else {}
    return flat
