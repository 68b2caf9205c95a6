# SPDX-License-Identifier: Apache-2.0
"""What a track may claim, fitted on drives: how much of the particles' spread and of the innovations is error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.bench.tracking_frames import ScoredFrame, TrackedFrame, scored
from geodistill_core.evaluation.bench.tracking_metrics import apart
from geodistill_core.localization.protection import DEFAULT_RISK
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.tracking.claim import claimed_covariance
from geodistill_core.types import Array

_LEAST_FRAMES = 30
_SCALES = np.geomspace(0.3, 6.0, 61)
_SHARES = np.concatenate([[0.0], np.geomspace(0.02, 2.0, 61)])
_FLOORS = (0.05, 0.05, math.radians(0.15))
_DEGREES_OF_FREEDOM = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0, 100.0)
_MOST_ROUNDS, _SETTLED = 30, 1e-3
# The level is fitted for less than the risk that is stated: other drives than these shall keep it, too.
_MARGIN = 0.5


def fit_track_calibration(
    drives: Sequence[Sequence[TrackedFrame]], fitted_on: str, *, map_sigma_m: float = 0.0, risk: float = DEFAULT_RISK
) -> TrackCalibration:
    """The calibration under which the followed frames' errors were likeliest, frames a metre apart.

    Errors are taken for Student's t: outliers that drives with repetitive streets hold would widen a Gaussian's claims
    for all other frames. Protection factors are the quantile 1 - risk / 2 of errors over claimed sigmas. Raises
    DatasetError where there are too few frames.
    """
    followed = [scored(drive) for drive in drives]
    dense = [one for drive in followed for one in apart(drive, 1.0) if one.frame.spread_sq and one.frame.innovation_sq]
    if len(dense) < _LEAST_FRAMES:
        raise DatasetError(f"{len(dense)} followed frames are too few to fit on; give at least {_LEAST_FRAMES}")
    errors = np.array([(one.errors.longitudinal_m, one.errors.lateral_m, one.errors.yaw_rad) for one in dense])
    spread_sq = np.array([one.frame.spread_sq for one in dense])
    innovation_sq = np.array([one.frame.innovation_sq for one in dense])
    scales, shares, degrees_of_freedom = fit_student(errors, spread_sq, innovation_sq, map_sigma_m)
    fitted = TrackCalibration(
        scale_along=scales[0], scale_across=scales[1], scale_yaw=scales[2],
        innovation_along=shares[0], innovation_across=shares[1], innovation_yaw=shares[2],
        degrees_of_freedom=degrees_of_freedom, protection_lateral=1.0, protection_longitudinal=1.0, risk=risk,
        drives=len(drives), samples=len(dense), distance_m=1.0, fitted_on=fitted_on, date=date.today().isoformat(),
    )  # fmt: skip
    lateral, longitudinal = _factors(dense, fitted, map_sigma_m, risk)
    return fitted.model_copy(update={"protection_lateral": lateral, "protection_longitudinal": longitudinal})


def fit_student(
    errors: Array, spread_sq: Array, innovation_sq: Array, map_sigma_m: float = 0.0
) -> tuple[Array, Array, float]:
    """Scales [3], shares [3] and degrees of freedom under which errors [N, 3] (along, across, yaw) are likeliest.

    Student's t in three dimensions whose variance is, per axis, (scale * spread)^2 + (share * innovation)^2 + map^2,
    at least the floor. Expectation maximisation for each number of degrees of freedom (Lange, Little and Taylor 1989).
    """
    extra_sq, counts = (map_sigma_m**2, map_sigma_m**2, 0.0), np.ones(len(errors))
    best: tuple[float, Array, Array, float] | None = None
    for dof in _DEGREES_OF_FREEDOM:
        for _ in range(_MOST_ROUNDS):
            axes = [
                fit_axis(errors[:, k], spread_sq[:, k], innovation_sq[:, k], extra_sq[k], _FLOORS[k], counts)
                for k in range(3)
            ]
            scales, shares = np.array(axes).T
            variance = np.maximum(scales**2 * spread_sq + shares**2 * innovation_sq + extra_sq, np.square(_FLOORS))
            squares = np.square(errors / np.sqrt(variance)).sum(axis=1) / (dof - 2.0)
            before, counts = counts, (dof + 3.0) / (dof - 2.0) / (1.0 + squares)
            if np.abs(counts - before).max() < _SETTLED:
                break
        likelihood = _log_likelihood(variance, squares, dof)
        if best is None or likelihood > best[0]:
            best = likelihood, scales, shares, dof
    assert best is not None
    return best[1:]


def _log_likelihood(variance: Array, squares: Array, dof: float) -> float:
    """Mean logarithm of Student's t in three dimensions, of squared errors over (dof - 2) variances, summed."""
    norm = math.lgamma((dof + 3.0) / 2.0) - math.lgamma(dof / 2.0) - 1.5 * math.log(math.pi * (dof - 2.0))
    return norm - float((0.5 * np.log(variance).sum(axis=1) + 0.5 * (dof + 3.0) * np.log1p(squares)).mean())


def fit_axis(
    error: Array, spread_sq: Array, innovation_sq: Array, extra_sq: float, floor: float, counts: Array
) -> tuple[float, float]:
    """Scale of the spread and share of the innovation, of one axis [N], that make its errors likeliest.

    The squares of a Gaussian's errors count as often as `counts` [N] say.
    """
    best = (math.inf, 1.0, 0.0)
    for scale in _SCALES:
        variance = scale**2 * spread_sq[:, None] + _SHARES[None, :] ** 2 * innovation_sq[:, None] + extra_sq
        variance = np.maximum(variance, floor**2)
        nll = 0.5 * (np.log(variance) + (counts * error**2)[:, None] / variance).mean(axis=0)
        k = int(nll.argmin())
        best = min(best, (float(nll[k]), float(scale), float(_SHARES[k])))
    return best[1], best[2]


def _factors(
    dense: Sequence[ScoredFrame], fitted: TrackCalibration, map_sigma_m: float, risk: float
) -> tuple[float, float]:
    """Multiples of the claimed sigmas, across and along, that hold all errors but a share of half the risk."""
    ratios = []
    for one in dense:
        spread, innovation = np.diag(one.frame.spread_sq or ()), np.array(one.frame.innovation_sq)
        P = claimed_covariance(spread, 0.0, innovation, map_sigma_m, fitted)
        ratios.append(
            (abs(one.errors.lateral_m) / math.sqrt(P[1, 1]), abs(one.errors.longitudinal_m) / math.sqrt(P[0, 0]))
        )
    lateral, longitudinal = np.quantile(np.array(ratios), 1.0 - _MARGIN * risk, axis=0)
    return float(lateral), float(longitudinal)


def read_calibration(path: Path) -> TrackCalibration:
    """A calibration as `bench tracking --calibrate` writes it; raises ConfigError where the file is none."""
    try:
        return TrackCalibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; write a calibration with --calibrate") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{path} is no calibration of a track: {where}: {first['msg']}; write one with --calibrate"
        ) from error
