# SPDX-License-Identifier: Apache-2.0
"""From a heat map's second moments to the covariance that is published: the one place where calibration acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geodistill_core.types import Array

if TYPE_CHECKING:
    from geodistill_core.models.manifest import Calibration

UNCALIBRATED_INFLATION = 4.0
"""A covariance of a network that nobody has calibrated is published so many times as large."""


@dataclass(frozen=True, slots=True)
class CovarianceScale:
    """Factors on the sigmas across, along and about the vehicle, and one on the whole published covariance."""

    across: float = 1.0
    along: float = 1.0
    yaw: float = 1.0
    inflation: float = 1.0

    @classmethod
    def of(cls, calibration: Calibration | None) -> CovarianceScale:
        """What a manifest states; inflated where it states nothing."""
        if calibration is None:
            return cls(inflation=UNCALIBRATED_INFLATION)
        return cls(calibration.scale_across, calibration.scale_along, calibration.scale_yaw)


def vehicle_axes(yaw_enu_rad: Array | float) -> Array:
    """Rows [..., 3, 3] that turn (east, north, yaw) into (across, along, yaw); across points to the left."""
    cos, sin = np.cos(yaw_enu_rad), np.sin(yaw_enu_rad)
    R = np.zeros((*np.shape(yaw_enu_rad), 3, 3))
    R[..., 0, 0], R[..., 0, 1] = -sin, cos
    R[..., 1, 0], R[..., 1, 1] = cos, sin
    R[..., 2, 2] = 1.0
    return R


def published(
    moments: Array,
    yaw_enu_rad: Array | float,
    map_sigma_m: Array | float,
    floor_sigmas: Array,
    scale: CovarianceScale,
) -> Array:
    """Covariances [..., 3, 3] (east m, north m, yaw rad) from second moments of heat maps and the answers' yaws.

    The scales act along the vehicle's axes. The map's own sigma is added and each variance is at least that of its
    floor (east, north, yaw) afterwards, because neither is the network's; the inflation takes in everything.
    """
    R = vehicle_axes(yaw_enu_rad)
    S = np.swapaxes(R, -1, -2) @ (np.array([scale.across, scale.along, scale.yaw])[:, None] * R)
    P = S @ np.asarray(moments, dtype=np.float64) @ np.swapaxes(S, -1, -2)
    diagonal = np.einsum("...ii->...i", P)
    diagonal[..., :2] += np.asarray(map_sigma_m)[..., None] ** 2
    np.maximum(diagonal, np.asarray(floor_sigmas) ** 2, out=diagonal)
    return np.asarray(scale.inflation * P)
