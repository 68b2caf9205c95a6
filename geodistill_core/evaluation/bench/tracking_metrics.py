# SPDX-License-Identifier: Apache-2.0
"""Figures of tracked drives: errors, states, and whether the claims hold over independent frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from geodistill_core.evaluation.bench.tracking_frames import ScoredFrame, TrackedFrame, position_error_m, scored
from geodistill_core.evaluation.calibration import binomial_bounds, ellipse_level, reliability_curve
from geodistill_core.evaluation.metrics import COVERAGE_LEVELS, ellipse_quantile_sq, share_within, spread
from geodistill_core.tracking.states import TrackState
from geodistill_core.types import Array

DOF = 3
INDEPENDENT_M = (30.0, 100.0)
UNCORRELATED = 0.2
_LAG_STEP_M = 5.0


def drive_figures(frames: Sequence[TrackedFrame]) -> dict[str, Any]:
    """Errors of one drive: of the followed track, of single images beside it, and of the GNSS; states' shares."""
    followed = scored(frames)
    sure = [s.errors.position_m for s in followed if s.frame.state == TrackState.TRACKING.value]
    single = [e for frame in frames if (e := position_error_m(frame.single, frame.truth)) is not None]
    states = Counter(frame.state for frame in frames)
    first = next((f.stamp_ns for f in frames if f.state == TrackState.TRACKING.value), None)
    taken = np.array([frame.tracker_ms for frame in frames])
    return {
        "frames": len(frames),
        "followed": len(followed),
        "distance_m": frames[-1].way_m - frames[0].way_m,
        "position_error_m": spread([s.errors.position_m for s in followed]),
        "lateral_error_m": spread([abs(s.errors.lateral_m) for s in followed]),
        "longitudinal_error_m": spread([abs(s.errors.longitudinal_m) for s in followed]),
        "yaw_error_deg": spread([abs(math.degrees(s.errors.yaw_rad)) for s in followed]),
        "worst_while_tracking_m": max(sure, default=None),
        "states": {state.value: states[state.value] / len(frames) for state in TrackState if states[state.value]},
        "first_tracking_s": None if first is None else (first - frames[0].stamp_ns) * 1e-9,
        "single_error_m": spread(single) | {"frames": len(single)},
        "gnss_error_m": spread([frame.gnss_error_m for frame in frames if frame.gnss_error_m is not None]),
        "tracker_ms": {f"p{q}": float(np.percentile(taken, q)) for q in (50, 90, 99)},
    }


def apart(drive: Sequence[ScoredFrame], distance_m: float) -> list[ScoredFrame]:
    """The first frame and then each that lies at least `distance_m` of driving after the last one taken."""
    taken: list[ScoredFrame] = []
    for one in drive:
        if not taken or one.frame.way_m - taken[-1].frame.way_m >= distance_m:
            taken.append(one)
    return taken


def autocorrelation(drives: Sequence[Sequence[ScoredFrame]], lags_m: Array) -> Array:
    """Correlation [lags] of normalised errors a distance apart, the larger of lateral's and longitudinal's.

    Errors over their sigma, at every metre of the way. The mean is not removed: an error that all of a drive
    shares counts as correlated.
    """
    products, squares = np.zeros((2, len(lags_m))), np.zeros((2, len(lags_m)))
    for drive in drives:
        if len(drive) < 2:
            continue
        way_m = np.array([one.frame.way_m for one in drive])
        errors = np.array(
            [
                [one.errors.lateral_m / one.sigma_lateral_m, one.errors.longitudinal_m / one.sigma_longitudinal_m]
                for one in drive
            ]
        )
        every = np.arange(way_m[0], way_m[-1], 1.0)
        series = np.stack([np.interp(every, way_m, column) for column in errors.T])
        for k, lag in enumerate(np.round(lags_m).astype(int)):
            if lag < len(every):
                early, late = series[:, : len(every) - lag], series[:, lag:]
                products[:, k] += (early * late).sum(axis=1)
                squares[:, k] += np.sqrt(np.square(early).sum(axis=1) * np.square(late).sum(axis=1))
    return np.asarray(np.where(squares > 0, products / np.maximum(squares, 1e-12), 0.0).max(axis=0))


def independent_distance_m(drives: Sequence[Sequence[ScoredFrame]]) -> tuple[float, float]:
    """How far apart frames must lie to count as independent, and the correlation that is left there.

    The first distance from 30 m on, in steps of 5 m, at which the correlation is under 0.2 (that of the squares,
    which the NEES is made of, under 0.04), at most 100 m.
    """
    low, high = INDEPENDENT_M
    lags_m = np.arange(low, high + _LAG_STEP_M / 2, _LAG_STEP_M)
    left = autocorrelation(drives, lags_m)
    under = np.flatnonzero(left < UNCORRELATED)
    k = int(under[0]) if under.size else len(lags_m) - 1
    return float(lags_m[k]), float(left[k])


def chi_square_mean_bounds(count: int, dof: int, confidence: float = 0.95) -> tuple[float, float]:
    """Central interval of the mean of `count` chi-square variables (Wilson and Hilferty's approximation)."""
    total = count * dof
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    spread_ = math.sqrt(2.0 / (9.0 * total))
    low, high = ((1.0 - 2.0 / (9.0 * total) + sign * z * spread_) ** 3 * dof for sign in (-1, 1))
    return low, high


def sub_samplings(drives: Sequence[Sequence[ScoredFrame]], distance_m: float) -> list[list[ScoredFrame]]:
    """Frames `distance_m` apart, once for each start: 0 m, 5 m and so on after a drive's first frame."""
    return [
        [
            one
            for drive in drives
            for one in apart([late for late in drive if late.frame.way_m - drive[0].frame.way_m >= start_m], distance_m)
        ]
        for start_m in np.arange(0.0, distance_m, _LAG_STEP_M)
    ]


def claim_figures(drives: Sequence[Sequence[ScoredFrame]], risk: float) -> dict[str, Any]:
    """Whether covariances and protection levels hold, over the drives' independent frames and over those a metre
    apart.

    Which frames of a drive are taken for independent is chance: figures are those of all sub-samplings together, bounds
    those of as many frames as one of them has. `one_sub_sampling` tells how far single ones lie apart.
    """
    distance_m, left = independent_distance_m(drives)
    samples = [sample for sample in sub_samplings(drives, distance_m) if sample]
    pooled = [one for sample in samples for one in sample]
    count = round(len(pooled) / len(samples)) if samples else 0
    dense = [one for drive in drives for one in apart(drive, 1.0)]
    nees = np.array([one.errors.nees for one in pooled])
    return {
        "independent": {
            "distance_m": distance_m,
            "correlation_left": left,
            "frames": count,
            "sub_samplings": len(samples),
            "metre_apart": len(dense),
        },
        "nees": {
            "dof": DOF,
            "mean": float(nees.mean()) if nees.size else None,
            "bounds": list(chi_square_mean_bounds(count, DOF)) if nees.size else None,
            "median": float(np.median(nees)) if nees.size else None,
            "p95": float(np.percentile(nees, 95)) if nees.size else None,
            "by_axis": _by_axis(pooled),
        },
        "coverage": _coverage(pooled, count),
        "hpd_deviation": {
            "metre_apart": _deviation(dense, _as_claimed),
            "independent": _deviation(pooled, _as_claimed),
            "as_gaussian": _deviation(pooled, _as_gaussian),
        },
        "one_sub_sampling": _from_to(samples),
        "sharpness": _sharpness(dense),
        "protection": {axis: _protection(dense, pooled, axis, risk, count) for axis in ("lateral", "longitudinal")},
    }


def _from_to(samples: Sequence[Sequence[ScoredFrame]]) -> dict[str, list[float | None]]:
    """Least and largest figure of single sub-samplings."""
    figures: dict[str, list[Any]] = {
        "nees": [np.mean([one.errors.nees for one in sample]) for sample in samples],
        "coverage_95": [_coverage(sample, len(sample))["0.95"]["share"] for sample in samples],
        "hpd_deviation": [_deviation(sample, _as_claimed) for sample in samples],
    }
    return {name: [min(found, default=None), max(found, default=None)] for name, found in figures.items()}


def _by_axis(frames: Sequence[ScoredFrame]) -> dict[str, float | None]:
    """Mean squares of errors over their own sigmas; 1 where they mean what they say."""
    if not frames:
        return {"lateral": None, "longitudinal": None, "yaw": None}
    pairs = {
        "lateral": [one.errors.lateral_m / one.sigma_lateral_m for one in frames],
        "longitudinal": [one.errors.longitudinal_m / one.sigma_longitudinal_m for one in frames],
        "yaw": [one.errors.yaw_rad / _sigma_yaw_rad(one) for one in frames],
    }
    return {axis: float(np.mean(np.square(values))) for axis, values in pairs.items()}


def _sigma_yaw_rad(one: ScoredFrame) -> float:
    assert one.frame.tracked is not None
    return math.sqrt(float(one.frame.tracked.covariance[2, 2]))


def _coverage(frames: Sequence[ScoredFrame], count: int) -> dict[str, Any]:
    """Share of truths within the position ellipses, and where that of `count` honest ellipses would lie (95 %)."""
    squares = [one.errors.position_mahalanobis_sq for one in frames]
    return {
        f"{level:g}": {
            "share": share_within(squares, ellipse_quantile_sq(level)),
            "bounds": list(binomial_bounds(count, level)) if frames else None,
        }
        for level in COVERAGE_LEVELS
    }


def _as_claimed(one: ScoredFrame) -> float:
    return ellipse_level(one.errors.position_mahalanobis_sq, one.frame.degrees_of_freedom)


def _as_gaussian(one: ScoredFrame) -> float:
    return ellipse_level(one.errors.position_mahalanobis_sq)


def _deviation(frames: Sequence[ScoredFrame], level: Callable[[ScoredFrame], float]) -> float | None:
    return reliability_curve(map(level, frames)).max_deviation if frames else None


def _sharpness(frames: Sequence[ScoredFrame]) -> dict[str, Any]:
    """Areas of the 95 % ellipses, and sigmas: how much is claimed to be known."""
    areas = []
    for one in frames:
        assert one.frame.tracked is not None
        determinant = float(np.linalg.det(np.asarray(one.frame.tracked.covariance)[:2, :2]))
        areas.append(math.pi * ellipse_quantile_sq(0.95) * math.sqrt(max(determinant, 0.0)))
    return {
        "ellipse_95_sq_m": spread(areas),
        "sigma_lateral_m": spread([one.sigma_lateral_m for one in frames]),
        "sigma_longitudinal_m": spread([one.sigma_longitudinal_m for one in frames]),
    }


def _protection(
    dense: Sequence[ScoredFrame], pooled: Sequence[ScoredFrame], axis: str, risk: float, count: int
) -> dict[str, Any]:
    """How often the error passes the level, beside the risk that is stated, and how large the level is."""

    def beyond(frames: Sequence[ScoredFrame]) -> list[bool]:
        return [abs(getattr(one.errors, f"{axis}_m")) > getattr(one.frame.protection, f"{axis}_m") for one in frames]

    violated, far_apart = beyond(dense), beyond(pooled)
    return {
        "risk": risk,
        "violated": float(np.mean(violated)) if violated else None,
        "violated_independent": float(np.mean(far_apart)) * count if far_apart else 0.0,
        "expected_at_most": binomial_bounds(count, risk)[1] * count if far_apart else None,
        "level_m": spread([getattr(one.frame.protection, f"{axis}_m") for one in dense]),
    }
