# SPDX-License-Identifier: Apache-2.0
"""What the tracker claims at a time."""

from __future__ import annotations

from dataclasses import dataclass

from geodistill_core.localization.protection import ProtectionLevel
from geodistill_core.tracking.states import TrackState
from geodistill_core.types import Array


@dataclass(frozen=True, slots=True)
class TrackedPose:
    """A pose on earth with covariance (3x3: east m, north m, yaw rad), motion, state and protection level.

    `suspect` names the solution separation that failed, empty where none did.
    """

    stamp_ns: int
    latitude: float
    longitude: float
    yaw_enu_rad: float
    covariance: Array
    speed_mps: float
    yaw_rate_radps: float
    state: TrackState
    suspect: str
    protection: ProtectionLevel
