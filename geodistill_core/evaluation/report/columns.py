# SPDX-License-Identifier: Apache-2.0
"""A run as arrays, one value for each frame: what the charts and the scrubber draw from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodistill_core.evaluation.claims import common_risk, protections
from geodistill_core.evaluation.metrics import FrameResult, ellipse_quantile_sq, scored
from geodistill_core.geometry.geodesy import offsets_enu_m
from geodistill_core.types import Array

# below a millisecond from frame to frame the stamps only number the samples of a data set
SMALLEST_STEP_NS = 1_000_000
# two frames further apart than this do not follow each other on a road
JUMP_M = 100.0


@dataclass(frozen=True)
class Columns:
    """Arrays [N]; NaN where a frame has no such figure.

    `x` is seconds since the first frame, or the frame's number where stamps tell no time (`timed` False).
    `east_m`, `north_m` and `yaw_rad` are answer minus truth, `distance_m` is the way driven so far (NaN for samples
    that are no drive), `var_ee`, `var_en`, `var_nn` the claimed position covariance, `radius_m` half of the long axis
    of its 95 % ellipse, `protection_…_m` the protection level, at `risk` (None where frames state several risks).
    """

    x: Array
    timed: bool
    position_m: Array
    east_m: Array
    north_m: Array
    lateral_m: Array
    longitudinal_m: Array
    yaw_rad: Array
    nees: Array
    position_sq: Array
    gnss_m: Array
    var_ee: Array
    var_en: Array
    var_nn: Array
    radius_m: Array
    truth_yaw_rad: Array
    distance_m: Array
    speed_mps: Array
    confidence: Array
    hpd_level: Array
    latency_ms: Array
    protection_lateral_m: Array
    protection_longitudinal_m: Array
    risk: float | None

    @property
    def x_label(self) -> str:
        """Caption of the `x` axis."""
        return "time (s)" if self.timed else "frame"


def columns_of(results: Sequence[FrameResult]) -> Columns:
    """The arrays of a run; raises DatasetError for a covariance that is not positive definite."""
    errors = scored(results)
    both = np.array([r.answer is not None and r.truth is not None for r in results], dtype=bool)
    names = ("position_m", "east_m", "north_m", "lateral_m", "longitudinal_m", "yaw_rad", "nees")
    found = {name: _spread_out(both, [getattr(e, name) for e in errors]) for name in names}
    answered = np.array([r.answer is not None for r in results], dtype=bool)
    answers = [r.answer for r in results if r.answer]
    covariances = np.array([answer.covariance for answer in answers], dtype=np.float64).reshape(-1, 3, 3)
    ee, en, nn = (_spread_out(answered, covariances[:, i, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    stated = protections(answers)
    x, timed = _axis(results)
    return Columns(
        x=x,
        timed=timed,
        **found,
        position_sq=_spread_out(both, [e.position_mahalanobis_sq for e in errors]),
        gnss_m=_gnss_m(results),
        var_ee=ee,
        var_en=en,
        var_nn=nn,
        radius_m=np.sqrt(ellipse_quantile_sq(0.95) * ((ee + nn) / 2 + np.hypot((ee - nn) / 2, en))),
        truth_yaw_rad=_optional([r.truth.yaw_enu_rad if r.truth else None for r in results]),
        distance_m=_distance_m(results, timed),
        speed_mps=_optional([r.speed_mps for r in results]),
        confidence=_optional([r.confidence for r in results]),
        hpd_level=_optional([r.hpd_level for r in results]),
        latency_ms=_optional([r.latency_ms for r in results]),
        protection_lateral_m=_spread_out(answered, [level.lateral_m for level in stated]),
        protection_longitudinal_m=_spread_out(answered, [level.longitudinal_m for level in stated]),
        risk=common_risk(answers),
    )


def places(results: Sequence[FrameResult]) -> Array:
    """Latitude and longitude [N, 2] of the truth, else of the answer, else NaN."""
    found = (r.truth or r.answer for r in results)
    rows = [(p.latitude, p.longitude) if p else (np.nan, np.nan) for p in found]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def steps_m(latitude_longitude: Array) -> Array:
    """Distance [N - 1] from each place to the next."""
    before, after = latitude_longitude[:-1].T, latitude_longitude[1:].T
    return np.asarray(np.hypot(*offsets_enu_m(after[0], after[1], before[0], before[1])))


def _optional(values: Sequence[float | None]) -> Array:
    return np.array(values, dtype=np.float64)


def _spread_out(present: Array, values: Array | Sequence[float]) -> Array:
    column = np.full(len(present), np.nan)
    column[present] = values
    return column


def _axis(results: Sequence[FrameResult]) -> tuple[Array, bool]:
    start_ns = results[0].stamp_ns if results else 0
    x = np.array([(r.stamp_ns - start_ns) / 1e9 for r in results], dtype=np.float64)
    steps = np.diff(x)
    if (steps > 0.0).all() and (not len(steps) or float(np.median(steps)) >= SMALLEST_STEP_NS / 1e9):
        return x, True
    return np.arange(len(results), dtype=np.float64), False


def _gnss_m(results: Sequence[FrameResult]) -> Array:
    rows = [(*r.gnss, r.truth.latitude, r.truth.longitude) if r.gnss and r.truth else (np.nan,) * 4 for r in results]
    return np.asarray(np.hypot(*offsets_enu_m(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)))


def _distance_m(results: Sequence[FrameResult], timed: bool) -> Array:
    distance = np.full(len(results), np.nan)
    where = places(results)
    known = np.isfinite(where[:, 0])
    step = steps_m(where[known])
    if timed and len(step) and float(np.median(step)) <= JUMP_M:
        distance[known] = np.concatenate([[0.0], np.cumsum(np.where(step <= JUMP_M, step, 0.0))])
    return distance
