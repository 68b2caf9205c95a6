# SPDX-License-Identifier: Apache-2.0
"""Protection level: how far off a pose may be along the vehicle's axes, but for a stated risk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.types import Array

DEFAULT_RISK = 0.01


@dataclass(frozen=True, slots=True)
class ProtectionLevel:
    """Each error stays within its level but for a share `risk` of the poses, axis by axis."""

    lateral_m: float
    longitudinal_m: float
    risk: float


class ProtectionFactors(Protocol):
    """Multiples of sigma that held the errors of a calibration set with `risk`; None where they were not measured."""

    @property
    def protection_lateral(self) -> float | None: ...  # noqa: D102
    @property
    def protection_longitudinal(self) -> float | None: ...  # noqa: D102
    @property
    def risk(self) -> float: ...  # noqa: D102


def normal_factor(risk: float) -> float:
    """Multiple of sigma that a normal error passes to either side with `risk`, which lies in (0, 1)."""
    if not 0.0 < risk < 1.0:
        raise ConfigError(f"risk {risk} is outside (0, 1)")
    return NormalDist().inv_cdf(1.0 - risk / 2.0)


def axis_sigmas_m(covariance: Array, yaw_enu_rad: float) -> tuple[float, float]:
    """Standard deviations to the left of a heading and along it, of a 3x3 covariance over east m, north m, yaw rad."""
    P = np.asarray(covariance, dtype=np.float64)[:2, :2]
    cos, sin = math.cos(yaw_enu_rad), math.sin(yaw_enu_rad)
    left, ahead = np.array([-sin, cos]), np.array([cos, sin])
    return math.sqrt(float(left @ P @ left)), math.sqrt(float(ahead @ P @ ahead))


def protection_level(
    covariance: Array, yaw_enu_rad: float, factors: ProtectionFactors | None = None
) -> ProtectionLevel:
    """The protection level of a pose with a published covariance (3x3: east m, north m, yaw rad).

    Sigmas along the vehicle's axes times the calibration's factors. Where there is no calibration, or it holds none,
    errors count as normal, with a risk of `DEFAULT_RISK`.
    """
    risk = DEFAULT_RISK if factors is None else factors.risk
    lateral = None if factors is None else factors.protection_lateral
    longitudinal = None if factors is None else factors.protection_longitudinal
    sigma_lateral_m, sigma_longitudinal_m = axis_sigmas_m(covariance, yaw_enu_rad)
    return ProtectionLevel(
        sigma_lateral_m * (normal_factor(risk) if lateral is None else lateral),
        sigma_longitudinal_m * (normal_factor(risk) if longitudinal is None else longitudinal),
        risk,
    )
