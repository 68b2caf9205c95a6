# SPDX-License-Identifier: Apache-2.0
"""Does a heat map mean what it says: HPD level, likelihood at the truth, coverage, temperature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array, HeatMap

# the smallest float32: a cell that underflowed is not impossible
SMALLEST = 1.4e-45
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, slots=True)
class CellCoordinate:
    """A place in a heat map in fractional indices; integers are cell centres."""

    yaw: float
    row: float
    column: float


def cell_of(heatmap: HeatMap, truth: Truth) -> CellCoordinate | None:
    """Where the truth lies in the heat map, None when outside of its position or yaw range."""
    _, height, width = heatmap.probability.shape
    east_m, north_m = LocalFrame(heatmap.center).to_enu(truth.latitude, truth.longitude)
    column = float(east_m) / heatmap.metres_per_cell + width / 2 - 0.5
    row = height / 2 - float(north_m) / heatmap.metres_per_cell - 0.5
    yaw = yaw_coordinate(heatmap.yaw_enu_rad, truth.yaw_enu_rad)
    inside = -0.5 <= column <= width - 0.5 and -0.5 <= row <= height - 0.5
    return CellCoordinate(yaw, row, column) if inside and yaw is not None else None


def yaw_coordinate(axis_rad: Array, yaw_rad: float) -> float | None:
    """Fractional index on an ascending, evenly spaced axis (0.0 for a single yaw), None if outside."""
    count = len(axis_rad)
    if count == 1:
        return 0.0
    step = float(axis_rad[1] - axis_rad[0])
    low = float(axis_rad[0]) - step / 2
    index = (yaw_rad - low) % (2 * math.pi) / step - 0.5
    return index if index <= count - 0.5 else None


def hpd_level(probability: Array, index: tuple[int, ...]) -> float:
    """Mass of the cells more probable than the one at `index`, ties counted half.

    Sorted by probability, this is the smallest highest-density region that reaches the true cell; over many
    frames a calibrated map gives levels uniform on [0, 1].
    """
    values = np.asarray(probability, dtype=np.float64)
    here = values[index]
    above = values[values > here].sum()
    level = above + 0.5 * values[values == here].sum()
    return float(min(1.0, level / values.sum()))


def nll_at(log_probability: Array, at: CellCoordinate, *, yaw_periodic: bool = False) -> float:
    """Negative log of the map interpolated linearly in row, column and yaw at `at`, in nats per cell.

    `log_probability` [Y, H, W] may hold -inf; the mixture is summed in log space, so that it is infinite only
    where all neighbours are impossible. Beyond the outermost centres the border cell counts, except that yaw
    wraps around where its axis is a full turn (`yaw_periodic`).
    """
    shape = log_probability.shape
    pairs = (
        _neighbours(at.yaw, shape[0], periodic=yaw_periodic),
        _neighbours(at.row, shape[1]),
        _neighbours(at.column, shape[2]),
    )
    terms = [
        math.log(wy * wr * wc) + float(log_probability[y, r, c])
        for y, wy in pairs[0]
        for r, wr in pairs[1]
        for c, wc in pairs[2]
        if wy * wr * wc > 0.0
    ]
    peak = max(terms)
    if peak == -math.inf:
        return math.inf
    return -(peak + math.log(sum(math.exp(term - peak) for term in terms)))


def _neighbours(position: float, count: int, *, periodic: bool = False) -> list[tuple[int, float]]:
    low = math.floor(position)
    share = position - low
    pair = ((low, 1.0 - share), (low + 1, share))
    return [(i % count if periodic else min(max(i, 0), count - 1), weight) for i, weight in pair]


@dataclass(frozen=True, slots=True)
class HeatMapScore:
    """A heat map against the truth inside it: nats per cell, the same for a uniform map, and the HPD level."""

    nll: float
    nll_uniform: float
    hpd_level: float


def score_heatmap(heatmap: HeatMap, truth: Truth) -> HeatMapScore | None:
    """Likelihood and HPD level of the truth, None where it lies outside of the heat map."""
    at = cell_of(heatmap, truth)
    if at is None:
        return None
    probability = heatmap.probability
    log_probability = np.log(np.maximum(probability.astype(np.float64), SMALLEST))
    nll = nll_at(log_probability, at, yaw_periodic=full_turn(heatmap))
    return HeatMapScore(nll, math.log(probability.size), _level_at(probability, at))


def full_turn(heatmap: HeatMap) -> bool:
    """Whether the yaw axis goes around and meets itself."""
    return abs(len(heatmap.yaw_enu_rad) * heatmap.yaw_step_rad - 2 * math.pi) < 1e-6


def truth_level(heatmap: HeatMap, truth: Truth) -> float | None:
    """HPD level of the truth alone, None where it lies outside of the heat map."""
    at = cell_of(heatmap, truth)
    return None if at is None else _level_at(heatmap.probability, at)


def _level_at(probability: Array, at: CellCoordinate) -> float:
    pairs = zip((at.yaw, at.row, at.column), probability.shape, strict=True)
    return hpd_level(probability, tuple(min(max(round(index), 0), count - 1) for index, count in pairs))


def summarize_heatmaps(scores: Sequence[HeatMapScore | None]) -> dict[str, float | int | None]:
    """Mean likelihoods, the largest deviation of the HPD levels from uniform, and how many truths lay outside."""
    inside = [score for score in scores if score is not None]
    curve = reliability_curve(score.hpd_level for score in inside)
    return {
        "nll_mean": float(np.mean([s.nll for s in inside])) if inside else None,
        "nll_uniform": float(np.mean([s.nll_uniform for s in inside])) if inside else None,
        "hpd_max_deviation": curve.max_deviation if inside else None,
        "truth_outside": len(scores) - len(inside),
    }


def tempered(logits: Array, temperature: float) -> Array:
    """Log of softmax(logits / temperature) over the whole array, float64; raises ConfigError for T <= 0."""
    if not temperature > 0.0:
        raise ConfigError(f"temperature {temperature} must be positive")
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = scaled - scaled.max()
    return np.asarray(scaled - math.log(np.exp(scaled).sum()))


def fit_temperature(
    mean_nll: Callable[[float], float], low: float = 0.1, high: float = 10.0, tolerance: float = 1e-3
) -> float:
    """The temperature in [low, high] of least held-out `mean_nll(T)`: golden-section search on log T.

    The negative log likelihood of a tempered softmax at a cell is convex in 1/T, so there is one minimum in
    log T. `tolerance` is relative.
    """
    left, right = math.log(low), math.log(high)
    first, second = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_first, at_second = mean_nll(math.exp(first)), mean_nll(math.exp(second))
    while right - left > tolerance:
        if at_first <= at_second:
            right, second, at_second = second, first, at_first
            first = right - GOLDEN * (right - left)
            at_first = mean_nll(math.exp(first))
        else:
            left, first, at_first = first, second, at_second
            second = left + GOLDEN * (right - left)
            at_second = mean_nll(math.exp(second))
    return math.exp((left + right) / 2.0)


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """Nominal probability against the share of frames inside, with the 95 % band of a calibrated source."""

    nominal: tuple[float, ...]
    observed: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def max_deviation(self) -> float:
        """Largest distance from the diagonal at the sampled levels."""
        return max((abs(o - n) for n, o in zip(self.nominal, self.observed, strict=True)), default=math.nan)


def reliability_curve(levels: Iterable[float], points: int = 20) -> ReliabilityCurve:
    """Curve of per-frame levels (HPD levels, or the ellipse probability that just reaches the truth)."""
    values = np.sort(np.asarray(list(levels), dtype=np.float64))
    if not values.size:
        return ReliabilityCurve((), (), (), ())
    nominal = [i / points for i in range(1, points)]
    observed = [float(np.searchsorted(values, p, side="right")) / values.size for p in nominal]
    bounds = [binomial_bounds(values.size, p) for p in nominal]
    return ReliabilityCurve(
        tuple(nominal), tuple(observed), tuple(low for low, _ in bounds), tuple(high for _, high in bounds)
    )


def ellipse_level(mahalanobis_sq: float, degrees_of_freedom: float | None = None) -> float:
    """Probability of the 2-D ellipse whose border has this squared Mahalanobis distance from the mean.

    The distance is by the covariance, of a Gaussian or of Student's t with more than two degrees of freedom.
    """
    if degrees_of_freedom is None:
        return -math.expm1(-mahalanobis_sq / 2.0)
    return -math.expm1(-degrees_of_freedom / 2.0 * math.log1p(mahalanobis_sq / (degrees_of_freedom - 2.0)))


def binomial_bounds(count: int, probability: float, confidence: float = 0.95) -> tuple[float, float]:
    """Central interval of the share of successes in `count` independent trials, exact.

    Frames of a drive are correlated: with an autocorrelation of 0.9 the effective count is about a tenth.
    """
    tail = (1.0 - confidence) / 2.0
    k = np.arange(count + 1)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    log_pmf = (
        log_factorial[-1]
        - log_factorial
        - log_factorial[::-1]
        + k * math.log(probability)
        + (count - k) * math.log1p(-probability)
    )
    cumulative = np.cumsum(np.exp(log_pmf))
    low = int(np.searchsorted(cumulative, tail))
    high = int(np.searchsorted(cumulative, 1.0 - tail))
    return low / count, min(high, count) / count
