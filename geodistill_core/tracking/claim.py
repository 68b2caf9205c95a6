# SPDX-License-Identifier: Apache-2.0
"""From the particles' spread to a covariance that was checked on drives: scales, innovations, map, floors."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.localization.covariance import UNCALIBRATED_INFLATION
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.types import Array

_FLOOR = np.array([0.05, 0.05, math.radians(0.15)])


def claimed_covariance(
    spread: Array, yaw_rad: float, innovation_sq: Array, map_sigma_m: float, calibration: TrackCalibration | None
) -> Array:
    """Covariance [3, 3] (east m, north m, yaw rad) that a track claims.

    `spread` [3, 3] is the particles', `innovation_sq` [3] the mean squares of heat maps about the track, along, across
    and in yaw. Per axis of the vehicle: (scale * spread)^2 + (share * innovation)^2, then the map's own error and a
    floor. Without calibration the spread counts four times.
    """
    c, s = math.cos(yaw_rad), math.sin(yaw_rad)
    R = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    P = R @ np.asarray(spread, np.float64) @ R.T
    if calibration is None:
        P = UNCALIBRATED_INFLATION * P
    else:
        D = np.diag([calibration.scale_along, calibration.scale_across, calibration.scale_yaw])
        shares = np.array([calibration.innovation_along, calibration.innovation_across, calibration.innovation_yaw])
        P = D @ P @ D + np.diag(shares**2 * innovation_sq)
    P = P + np.diag([map_sigma_m**2, map_sigma_m**2, 0.0])
    P[np.diag_indices(3)] = np.maximum(P.diagonal(), _FLOOR**2)
    P = R.T @ P @ R
    return np.asarray((P + P.T) / 2)
