# SPDX-License-Identifier: Apache-2.0
"""Gates in the order finite, time, plausibility, statistics; every distance is compared squared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.types import Array

# quantiles of chi-square by degrees of freedom
CHI_SQ_99 = {1: 6.6349, 2: 9.2103, 3: 11.3449}
CHI_SQ_999 = {1: 10.8276, 2: 13.8155, 3: 16.2662}


def mahalanobis_sq(offset: Array, covariance: Array) -> float:
    """Squared Mahalanobis distance of an offset [k] under a covariance [k, k]; inf where that is not one."""
    offset, covariance = np.asarray(offset, np.float64), np.asarray(covariance, np.float64)
    if not (np.isfinite(offset).all() and np.isfinite(covariance).all()):
        return math.inf
    try:
        L = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return math.inf
    whitened = np.linalg.solve(L, offset)
    return float(whitened @ whitened)


def passes(distance_sq: float, quantile: float) -> bool:
    """Whether a squared distance stays within a chi-square quantile."""
    return distance_sq <= quantile


@dataclass(frozen=True, slots=True)
class PhysicalLimits:
    """What a road vehicle can do, in metres, seconds and radians."""

    speed_mps: float = 60.0
    yaw_rate_radps: float = 1.5
    slack_m: float = 3.0
    slack_rad: float = math.radians(10.0)

    def allow(self, moved_m: float, turned_rad: float, elapsed_s: float) -> bool:
        """Whether a vehicle can have moved and turned so far in that time; time that runs back allows nothing."""
        if not (math.isfinite(moved_m) and math.isfinite(turned_rad)) or elapsed_s < 0.0:
            return False
        turn = abs(float(wrap(turned_rad)))
        return (
            moved_m <= self.speed_mps * elapsed_s + self.slack_m
            and turn <= self.yaw_rate_radps * elapsed_s + self.slack_rad
        )


class Separation:
    """Solution separation of two independent positions: suspect once it lasted, cleared once it rested as long.

    `name` is the solution that is compared with the track, as operators read it.
    """

    def __init__(self, name: str, quantile: float, lasting_s: float) -> None:
        self.name = name
        self.suspect = False
        self.distance_sq = 0.0
        self._quantile = quantile
        self._lasting_ns = round(lasting_s * 1e9)
        self._changing_since_ns: int | None = None

    def judge(self, offset: Array, covariance: Array, stamp_ns: int) -> None:
        """Take the offset between the two and the sum of their covariances at a time."""
        self.distance_sq = mahalanobis_sq(offset, covariance)
        beyond = not passes(self.distance_sq, self._quantile)
        if beyond is self.suspect:
            self._changing_since_ns = None
        elif self._changing_since_ns is None or stamp_ns < self._changing_since_ns:
            self._changing_since_ns = stamp_ns
        elif stamp_ns - self._changing_since_ns >= self._lasting_ns:
            self.suspect, self._changing_since_ns = beyond, None

    def sentence(self) -> str:
        """What to tell an operator; empty where nothing is suspect."""
        if not self.suspect:
            return ""
        return (
            f"{self.name} disagrees with the track: squared distance {self.distance_sq:.1f}, limit {self._quantile:.1f}"
        )
