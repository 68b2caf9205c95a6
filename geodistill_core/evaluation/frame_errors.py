# SPDX-License-Identifier: Apache-2.0
"""One frame of a run: what was claimed, what is true, and how far the two lie apart.

Position errors live in the ENU tangent plane at the truth; longitudinal runs along the true heading, lateral
is positive to the left of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import DatasetError
from geodistill_core.evaluation.calibration import truth_level
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import offsets_enu_m
from geodistill_core.localization.protection import ProtectionFactors, ProtectionLevel, protection_level
from geodistill_core.types import Array, Estimate


@dataclass(frozen=True, slots=True)
class PoseAnswer:
    """What was claimed for a frame: WGS-84 degrees, ENU yaw, 3x3 covariance (east m, north m, yaw rad).

    `protection` is None where nobody stated a protection level.
    """

    latitude: float
    longitude: float
    yaw_enu_rad: float
    covariance: Array
    status: str = "ok"
    protection: ProtectionLevel | None = None

    @classmethod
    def of(cls, estimate: Estimate, factors: ProtectionFactors | None = None) -> PoseAnswer:
        """The pose of a full estimate, without its heat map and imagery; `factors` are its calibration's."""
        pose = estimate.latitude, estimate.longitude, estimate.yaw_enu_rad
        return cls(*pose, estimate.covariance, estimate.status.value).protected(factors)

    def protected(self, factors: ProtectionFactors | None) -> PoseAnswer:
        """The same with the protection level that its covariance and these factors give."""
        return replace(self, protection=protection_level(self.covariance, self.yaw_enu_rad, factors))


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One camera frame of a run: exactly one of `answer` and `dropped` (the reason) is set.

    `gnss` is latitude and longitude in degrees. `key` is the sample's name in a data set. `confidence` is the
    probability mass of the best mode and `hpd_level` the mass of the cells more probable than the true one;
    both need the heat map and are None without it. `speed_mps` is how fast the vehicle drove, `road` what kind of road
    that was on, where it is known.
    """

    stamp_ns: int
    truth: Truth | None = None
    answer: PoseAnswer | None = None
    gnss: tuple[float, float] | None = None
    latency_ms: float | None = None
    dropped: str | None = None
    key: str = ""
    confidence: float | None = None
    speed_mps: float | None = None
    hpd_level: float | None = None
    road: str = ""

    def __post_init__(self) -> None:
        if (self.answer is None) == (self.dropped is None) or self.dropped == "":
            raise DatasetError(f"frame {self.stamp_ns} must have either an answer or a reason why it was dropped")

    def with_heatmap(self, estimate: Estimate) -> FrameResult:
        """The same frame with what its heat map tells: the best mode's mass, and the HPD level of the truth."""
        level = truth_level(estimate.heatmap, self.truth) if self.truth else None
        return replace(self, confidence=estimate.modes[0].mass, hpd_level=level)


@dataclass(frozen=True, slots=True)
class FrameErrors:
    """Signed errors of one answer (answer minus truth), and how they compare with its covariance."""

    east_m: float
    north_m: float
    lateral_m: float
    longitudinal_m: float
    yaw_rad: float
    nees: float
    position_mahalanobis_sq: float

    @property
    def position_m(self) -> float:
        """Horizontal distance."""
        return math.hypot(self.east_m, self.north_m)


def frame_errors(answer: PoseAnswer, truth: Truth) -> FrameErrors:
    """Errors of an answer; raises DatasetError for a covariance that is not positive definite."""
    return errors_of([answer], [truth])[0]


def errors_of(answers: Sequence[PoseAnswer], truths: Sequence[Truth]) -> list[FrameErrors]:
    """Errors of each answer against its truth; raises DatasetError as `frame_errors`."""
    if not answers:
        return []
    found, true = _poses(answers), _poses(truths)
    east_m, north_m = offsets_enu_m(found[:, 0], found[:, 1], true[:, 0], true[:, 1])
    yaw_rad = wrap(found[:, 2] - true[:, 2])
    cos, sin = np.cos(true[:, 2]), np.sin(true[:, 2])
    covariance = np.stack([np.asarray(answer.covariance, dtype=np.float64) for answer in answers])
    error = np.stack([east_m, north_m, yaw_rad], axis=1)
    columns = (
        east_m,
        north_m,
        cos * north_m - sin * east_m,
        cos * east_m + sin * north_m,
        yaw_rad,
        _mahalanobis_sq(error, covariance),
        _mahalanobis_sq(error[:, :2], covariance[:, :2, :2]),
    )
    return [FrameErrors(*row) for row in np.stack(columns, axis=1).tolist()]


def _poses(poses: Sequence[PoseAnswer] | Sequence[Truth]) -> Array:
    return np.array([(pose.latitude, pose.longitude, pose.yaw_enu_rad) for pose in poses], dtype=np.float64)


def offset_m(latitude: float, longitude: float, truth: Truth) -> tuple[float, float]:
    """Metres east and north of the truth."""
    return offsets_enu_m(latitude, longitude, truth.latitude, truth.longitude)


def _mahalanobis_sq(error: Array, covariance: Array) -> Array:
    try:
        whitened = np.linalg.solve(np.linalg.cholesky(covariance), error[..., None])[..., 0]
        if not np.isfinite(whitened).all():
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError as problem:
        if len(error) > 1:
            # find the one that it is
            for one, matrix in zip(error, covariance, strict=True):
                _mahalanobis_sq(one[None], matrix[None])
        raise DatasetError(
            f"covariance {covariance[0].tolist()} is not positive definite; mend its publisher"
        ) from problem
    return np.asarray((whitened**2).sum(axis=-1))


def ellipse_quantile_sq(probability: float) -> float:
    """Squared Mahalanobis radius of the 2-D ellipse that holds `probability` (chi-square quantile, 2 dof)."""
    return -2.0 * math.log1p(-probability)


def scored(results: Iterable[FrameResult]) -> list[FrameErrors]:
    """Errors of every frame that has both an answer and truth, in order."""
    pairs = [(r.answer, r.truth) for r in results if r.answer is not None and r.truth is not None]
    return errors_of([answer for answer, _ in pairs], [truth for _, truth in pairs])


def gnss_errors_m(results: Iterable[FrameResult]) -> Array:
    """Horizontal GNSS error of every frame that has both a fix and truth, dropped frames included."""
    rows = [(*r.gnss, r.truth.latitude, r.truth.longitude) for r in results if r.gnss and r.truth]
    east_m, north_m = offsets_enu_m(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)
    return np.asarray(np.hypot(east_m, north_m))
