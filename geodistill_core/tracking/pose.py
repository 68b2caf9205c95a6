# SPDX-License-Identifier: Apache-2.0
"""What the tracker claims at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodistill_core.localization.protection import ProtectionLevel
from geodistill_core.tracking.states import TrackState
from geodistill_core.types import Array, Prior

_LEAST_SIGMA_M, _MOST_SIGMA_M = 0.1, 1_000.0
# at 2.3 sigma three steps of 3 degrees to either side
_LEAST_SIGMA_RAD = math.radians(2.7)


@dataclass(frozen=True, slots=True)
class TrackedPose:
    """A pose on earth with covariance (3x3: east m, north m, yaw rad), motion, state and protection level.

    Its error follows Student's t of so many degrees of freedom, None is a Gaussian; the covariance is that of the
    error in both cases. `suspect` names the solution separation that failed, empty where none did.
    """

    stamp_ns: int
    latitude: float
    longitude: float
    yaw_enu_rad: float
    covariance: Array
    degrees_of_freedom: float | None
    speed_mps: float
    yaw_rate_radps: float
    state: TrackState
    suspect: str
    protection: ProtectionLevel

    def as_prior(self) -> Prior:
        """Where to search for the vehicle: the long axis of the ellipse, and at least what the yaw hypotheses need."""
        sigma_m = math.sqrt(max(float(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]), 0.0))
        sigma_yaw = math.sqrt(float(self.covariance[2, 2]))
        return Prior(
            self.latitude,
            self.longitude,
            min(max(sigma_m, _LEAST_SIGMA_M), _MOST_SIGMA_M),
            self.yaw_enu_rad,
            min(max(sigma_yaw, _LEAST_SIGMA_RAD), math.pi),
        )
