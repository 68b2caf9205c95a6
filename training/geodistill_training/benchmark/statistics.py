# SPDX-License-Identifier: Apache-2.0
"""Summaries over seeds, and how far a method lowers the mean error against its control, bootstrapped over cities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodistill_core.types import Array
from geodistill_training.benchmark.evaluate import Errors

_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Reduction:
    """Relative reduction of the mean error (0.2 = a fifth less) and its 95 % interval."""

    share: float
    low: float
    high: float


def reduction(method: Sequence[Errors], control: Sequence[Errors], seed: int = 0) -> Reduction:
    """Reduction of the mean position error over all seeds, with a percentile bootstrap over cities.

    `method` and `control` hold one entry per training seed, over the same examples in the same order. A city's errors
    of all seeds and of both models are drawn together, because they share its streets.
    """
    cities = sorted(set(control[0].cities))
    ours, theirs = _by_city(method, cities), _by_city(control, cities)
    draws = np.random.default_rng(seed).integers(len(cities), size=(_RESAMPLES, len(cities)))
    resampled = 1 - ours[draws].sum(axis=1) / theirs[draws].sum(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Reduction(float(1 - ours.sum() / theirs.sum()), float(low), float(high))


def _by_city(runs: Sequence[Errors], cities: Sequence[str]) -> Array:
    """Sum of position errors per city, over all seeds; cities hold equally many examples."""
    return np.array([sum(run.position_m[np.array(run.cities) == city].sum() for run in runs) for city in cities])


def summary(runs: Sequence[Errors]) -> dict[str, float]:
    """Mean and median in metres and degrees, averaged over seeds, and the spread of the mean between seeds."""
    means = [float(run.position_m.mean()) for run in runs]
    return {
        "mean_m": float(np.mean(means)),
        "seed_spread_m": float(np.std(means, ddof=1)) if len(means) > 1 else 0.0,
        "median_m": float(np.mean([np.median(run.position_m) for run in runs])),
        "within_3m": float(np.mean([(run.position_m < 3).mean() for run in runs])),
        "mean_deg": float(np.mean([run.yaw_deg.mean() for run in runs])),
        "median_deg": float(np.mean([np.median(run.yaw_deg) for run in runs])),
    }
