# SPDX-License-Identifier: Apache-2.0
"""One gate for GNSS fixes: a `NavSatFix`-shaped reading becomes a usable fix or a named reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

COVARIANCE_TYPE_UNKNOWN = 0
STATUS_NO_FIX = -1
DEFAULT_SIGMA_M = 10.0
MIN_SIGMA_M = 0.1
MAX_SIGMA_M = 100.0


class FixReject(str, Enum):
    """Why a fix cannot serve as a prior."""

    NO_FIX = "no_fix"
    STAMP_ZERO = "stamp_zero"
    NONFINITE = "nan"
    OUT_OF_RANGE = "out_of_range"
    NULL_ISLAND = "null_island"
    IMPRECISE = "imprecise"

    def __str__(self) -> str:
        return self.value


class SigmaSource(str, Enum):
    """Where a fix's sigma comes from: the receiver, or the configured default because it stated none."""

    STATED = "stated"
    DEFAULT = "default"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class FixReading:
    """A usable GNSS fix: WGS-84 degrees of the antenna, and one isotropic horizontal sigma.

    The antenna sits `antenna_x_m` forward and `antenna_y_m` left of the base.
    """

    stamp_ns: int
    latitude: float
    longitude: float
    sigma_m: float
    sigma_source: SigmaSource = SigmaSource.STATED
    antenna_x_m: float = 0.0
    antenna_y_m: float = 0.0

    def base_offset_m(self, yaw_enu_rad: float) -> tuple[float, float]:
        """Metres east and north from the antenna to the base of a vehicle with that heading."""
        c, s = math.cos(yaw_enu_rad), math.sin(yaw_enu_rad)
        return s * self.antenna_y_m - c * self.antenna_x_m, -s * self.antenna_x_m - c * self.antenna_y_m

    @property
    def lever_m(self) -> float:
        """Distance of the antenna from the base."""
        return math.hypot(self.antenna_x_m, self.antenna_y_m)


def check_fix(
    stamp_ns: int,
    status: int,
    latitude: float,
    longitude: float,
    *,
    covariance: Sequence[float],
    covariance_type: int,
    default_sigma_m: float = DEFAULT_SIGMA_M,
    inflation: float = 1.0,
) -> FixReading | FixReject:
    """Judge the fields of a `sensor_msgs/NavSatFix`.

    `covariance` is the 3x3 row-major ENU position covariance in m^2. The sigma is the long axis of its
    horizontal error ellipse (a prior must cover the worse direction) times `inflation`, at least 0.1 m; fixes
    beyond 100 m are refused as imprecise. An unknown, zero, negative or non-finite covariance gives
    `default_sigma_m`, and says so in `sigma_source`.
    """
    reject = _reject(stamp_ns, status, latitude, longitude)
    if reject is not None:
        return reject
    stated = None if covariance_type == COVARIANCE_TYPE_UNKNOWN else horizontal_sigma_m(covariance)
    source = SigmaSource.DEFAULT if stated is None else SigmaSource.STATED
    sigma_m = max((default_sigma_m if stated is None else stated) * inflation, MIN_SIGMA_M)
    if sigma_m > MAX_SIGMA_M:
        return FixReject.IMPRECISE
    return FixReading(stamp_ns, latitude, longitude, sigma_m, source)


def _reject(stamp_ns: int, status: int, latitude: float, longitude: float) -> FixReject | None:
    """The first thing wrong with a fix, besides its covariance."""
    checks = (
        (status <= STATUS_NO_FIX, FixReject.NO_FIX),  # NO_FIX, and UNKNOWN (-2): a receiver not yet up
        (stamp_ns <= 0, FixReject.STAMP_ZERO),
        (not (math.isfinite(latitude) and math.isfinite(longitude)), FixReject.NONFINITE),
        (abs(latitude) > 90.0 or abs(longitude) > 180.0, FixReject.OUT_OF_RANGE),
        (latitude == 0.0 and longitude == 0.0, FixReject.NULL_ISLAND),
    )
    return next((reject for wrong, reject in checks if wrong), None)


def horizontal_sigma_m(covariance: Sequence[float]) -> float | None:
    """Long half-axis of the one-sigma ellipse of a 3x3 ENU covariance; None where it is not one."""
    if len(covariance) != 9:
        return None
    east, cross, north = float(covariance[0]), float(covariance[1]), float(covariance[4])
    horizontal = np.array([[east, cross], [cross, north]])
    if not np.isfinite(horizontal).all() or east <= 0.0 or north <= 0.0:
        return None
    small, large = np.linalg.eigvalsh(horizontal)
    return float(math.sqrt(large)) if small >= 0.0 else None
