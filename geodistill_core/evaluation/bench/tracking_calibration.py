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
# An error beyond four sigma counts as one of four: a few outliers would widen the claims of all other frames, and are
# what protection levels are for.
_COUNTED_SQ = 16.0
# The level is fitted for less than the risk that is stated: other drives than these shall keep it, too.
_MARGIN = 0.5


def fit_track_calibration(
    drives: Sequence[Sequence[TrackedFrame]], fitted_on: str, *, map_sigma_m: float = 0.0, risk: float = DEFAULT_RISK
) -> TrackCalibration:
    """The calibration under which the followed frames' errors were likeliest, frames a metre apart.

    Per axis the variance is (scale * spread)^2 + (share * innovation)^2 + map^2, at least the floor; scale and share
    are those of the least Gaussian negative log likelihood on a grid, outliers clipped. Protection factors are the
    quantile 1 - risk / 2 of errors over claimed sigmas. Raises DatasetError where there are too few frames.
    """
    followed = [scored(drive) for drive in drives]
    dense = [one for drive in followed for one in apart(drive, 1.0) if one.frame.spread_sq and one.frame.innovation_sq]
    if len(dense) < _LEAST_FRAMES:
        raise DatasetError(f"{len(dense)} followed frames are too few to fit on; give at least {_LEAST_FRAMES}")
    errors = np.array([(one.errors.longitudinal_m, one.errors.lateral_m, one.errors.yaw_rad) for one in dense])
    spread_sq = np.array([one.frame.spread_sq for one in dense])
    innovation_sq = np.array([one.frame.innovation_sq for one in dense])
    extra_sq = (map_sigma_m**2, map_sigma_m**2, 0.0)
    fits = [fit_axis(errors[:, k], spread_sq[:, k], innovation_sq[:, k], extra_sq[k], _FLOORS[k]) for k in range(3)]
    fitted = TrackCalibration(
        scale_along=fits[0][0], scale_across=fits[1][0], scale_yaw=fits[2][0],
        innovation_along=fits[0][1], innovation_across=fits[1][1], innovation_yaw=fits[2][1],
        protection_lateral=1.0, protection_longitudinal=1.0, risk=risk,
        drives=len(drives), samples=len(dense), distance_m=1.0, fitted_on=fitted_on, date=date.today().isoformat(),
    )  # fmt: skip
    lateral, longitudinal = _factors(dense, fitted, map_sigma_m, risk)
    return fitted.model_copy(update={"protection_lateral": lateral, "protection_longitudinal": longitudinal})


def fit_axis(
    error: Array, spread_sq: Array, innovation_sq: Array, extra_sq: float, floor: float
) -> tuple[float, float]:
    """Scale of the spread and share of the innovation, of one axis [N], that make its clipped errors likeliest."""
    best = (math.inf, 1.0, 0.0)
    for scale in _SCALES:
        variance = scale**2 * spread_sq[:, None] + _SHARES[None, :] ** 2 * innovation_sq[:, None] + extra_sq
        variance = np.maximum(variance, floor**2)
        nll = 0.5 * (np.log(variance) + np.minimum(error[:, None] ** 2 / variance, _COUNTED_SQ)).mean(axis=0)
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
        raise ConfigError(f"{path} is no calibration of a track: {error}; write one with --calibrate") from error
