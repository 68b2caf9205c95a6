# SPDX-License-Identifier: Apache-2.0
"""Resampling of frames that depend on their neighbours: the circular block bootstrap within each drive or city.

Blocks as long as the correlation keep it in the resampled run; frame by frame, the intervals of a drive would be
several times too narrow. Politis and Romano 1992; block length after Politis and White 2004 with the correction of
Patton, Politis and White 2009.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from geodistill_core.types import Array

SEED = 0
REPLICATES = 2000
SIGNIFICANT = 2.0
MOST_MISSED = 0.75


@dataclass(frozen=True, slots=True)
class Dependence:
    """Neighbouring values belong together in blocks of `block`; `missed` is the share of variance blocks do not see."""

    block: int = 1
    missed: float = 0.0


def dependence(series: Array) -> Dependence:
    """How far a series [N] depends on its neighbours; NaN counts as the mean. Blocks are at most a third of it.

    With autocovariance R, S = sum of R(k) and G = sum of |k| R(k) over all lags, resampled blocks of b have the
    variance S - G / b of the mean instead of S; the best b grows with (G / S)^(2/3).
    """
    count = len(series)
    known = np.isfinite(series)
    if count < 10 or not known.any():
        return Dependence()
    centred = np.where(known, series - series[known].mean(), 0.0)
    covariance = _autocovariance(centred, min(count - 1, math.ceil(math.sqrt(count)) + 20))
    if covariance[0] <= 0.0:
        return Dependence()
    last = _last_significant(np.abs(covariance[1:] / covariance[0]), count)
    lag = np.arange(1, min(2 * last, len(covariance) - 1) + 1)
    # flat top: weight one up to the last significant lag, falling to zero at twice that
    tapered = np.clip(2.0 * (1.0 - lag / (2.0 * last)), 0.0, 1.0) * covariance[lag]
    sum_r, sum_kr = covariance[0] + 2.0 * float(tapered.sum()), 2.0 * float((lag * tapered).sum())
    if sum_r <= 0.0 or sum_kr <= 0.0:
        return Dependence()
    best = round((1.5 * (sum_kr / sum_r) ** 2 * count) ** (1.0 / 3.0))
    block = max(1, min(best, math.ceil(min(3.0 * math.sqrt(count), count / 3.0))))
    return Dependence(block, min(sum_kr / sum_r / block, MOST_MISSED))


def _last_significant(correlation: Array, count: int) -> int:
    """The lag (at least 1) after which a run of lags shows no correlation beyond chance."""
    small = correlation < SIGNIFICANT * math.sqrt(math.log10(count) / count)
    run = min(5, len(small))
    quiet = np.lib.stride_tricks.sliding_window_view(small, run).all(axis=1)
    return max(1, int(np.argmax(quiet)) if quiet.any() else len(small))


def _autocovariance(centred: Array, lags: int) -> Array:
    return np.array([float(centred[: len(centred) - k] @ centred[k:]) for k in range(lags + 1)]) / len(centred)


@dataclass(frozen=True)
class Strata:
    """Frames in groups that are resampled apart: group g is `sizes[g]` neighbours that depend on each other."""

    sizes: tuple[int, ...]
    dependences: tuple[Dependence, ...]

    @property
    def independent(self) -> float:
        """About how many independent pieces the frames amount to."""
        return sum(size / one.block for size, one in zip(self.sizes, self.dependences, strict=True))

    @property
    def widening(self) -> float:
        """Factor on an interval's half width for the variance that blocks do not see, frames weighing alike."""
        missed = sum(size * one.missed for size, one in zip(self.sizes, self.dependences, strict=True))
        return 1.0 / math.sqrt(1.0 - missed / sum(self.sizes))

    def weights(self, rng: np.random.Generator) -> Array:
        """How often each frame occurs in one resampled run, float64 [sum of sizes]; groups keep their share."""
        return np.concatenate([_group(n, one.block, rng) for n, one in zip(self.sizes, self.dependences, strict=True)])


def _group(size: int, block: int, rng: np.random.Generator) -> Array:
    blocks = -(-size // block)
    starts = np.bincount(rng.integers(0, size, blocks), minlength=size)
    if block > 1:
        # every start counts for the `block` frames from it on, around the end
        total = np.cumsum(np.concatenate([starts[size - block + 1 :], starts]))
        starts = total[block - 1 :] - np.concatenate([[0], total[: size - 1]])
    return np.asarray(starts * (size / (blocks * block)), dtype=np.float64)


def intervals(
    strata: Strata, statistics: Callable[[Array], Array], level: float, replicates: int = REPLICATES
) -> tuple[Array, Array]:
    """Low and high end [K] of K statistics of the frames' weights [N].

    Percentile intervals about the value of the run itself, widened for what blocks miss and by Student's quantile for
    the number of independent pieces. Deterministic.
    """
    rng = np.random.default_rng(SEED)
    point = statistics(np.ones(sum(strata.sizes)))
    drawn = np.stack([statistics(strata.weights(rng)) for _ in range(replicates)])
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(drawn, (tail, 1.0 - tail), axis=0)
    factor = strata.widening * student_factor(strata.independent - 1.0, level)
    return point + (low - point) * factor, point + (high - point) * factor


def student_factor(freedom: float, level: float) -> float:
    """Two-sided quantile of Student's t over that of the normal distribution (Cornish and Fisher's expansion)."""
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    v = max(freedom, 2.0)
    terms = (
        (z**3 + z) / (4 * v),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3),
    )
    return 1.0 + sum(terms) / z


def weighted_quantiles(values: Array, shares: Sequence[float]) -> Callable[[Array], list[float]]:
    """A function of weights [N] that gives the quantiles of `values` [N]; sorting is done once."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]

    def quantiles(weights: Array) -> list[float]:
        total = np.cumsum(weights[order])
        at = np.searchsorted(total, np.asarray(shares) * total[-1])
        return [float(ordered[min(int(i), len(ordered) - 1)]) for i in at]

    return quantiles
