# SPDX-License-Identifier: Apache-2.0
"""Whether claims hold in every part of a run: a mean NEES of 3 can hide half too small and half too large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from geodistill_core.evaluation.calibration import binomial_bounds
from geodistill_core.evaluation.consistency import mean_bounds
from geodistill_core.types import Array

CONFIDENCE_EDGES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
PRIOR_EDGES_M = (0.0, 2.0, 5.0, 10.0, 20.0, math.inf)
COVERED = 0.95


def summarize_strata(
    position_m: Array,
    nees: Array,
    covered: Array,
    labels: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    """The `strata` of metrics.json for frames [N] with errors, NEES and whether the 95 % ellipse held the truth.

    `labels` gives each frame's stratum by what divides the frames; a division that leaves all frames together, or a
    frame without a label, is passed over.
    """
    found = []
    for divided_by, names in labels.items():
        for name, chosen in _groups(names):
            count = int(chosen.sum())
            found.append(
                {
                    "by": divided_by,
                    "name": name,
                    "frames": count,
                    "position_error_m": float(np.median(position_m[chosen])),
                    "nees": float(nees[chosen].mean()),
                    "nees_bounds": list(mean_bounds(count)),
                    "coverage": float(covered[chosen].mean()),
                    "coverage_bounds": list(binomial_bounds(count, COVERED)),
                }
            )
    return found


def _groups(names: Sequence[str]) -> Iterator[tuple[str, Array]]:
    labels = np.array(names, dtype=object)
    distinct = sorted({name for name in names if name}, key=_order)
    if len(distinct) < 2:
        return
    for name in distinct:
        yield name, np.asarray(labels == name, dtype=bool)


def _order(name: str) -> tuple[float, str]:
    first = name.split(maxsplit=1)[0]
    try:
        return float(first), name
    except ValueError:
        return math.inf, name


def binned(values: Sequence[float | None], edges: Sequence[float], unit: str = "") -> list[str]:
    """The bin of each value, in words; empty where there is no value."""
    return ["" if value is None else _bin(value, edges, unit) for value in values]


def _bin(value: float, edges: Sequence[float], unit: str) -> str:
    at = min(max(int(np.searchsorted(edges, value, side="right")) - 1, 0), len(edges) - 2)
    low, high = edges[at], edges[at + 1]
    return f"{low:g}{unit} and more" if math.isinf(high) else f"{low:g} to {high:g}{unit}"
