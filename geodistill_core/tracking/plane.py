# SPDX-License-Identifier: Apache-2.0
"""The tangent plane that a track lives on; it follows the vehicle, so that its metres are those of the place."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import placed
from geodistill_core.types import Array, GeoPoint

_REACH_M = 1_000.0


class Plane:
    """ENU at an anchor."""

    def __init__(self, anchor: GeoPoint) -> None:
        self.frame = LocalFrame(anchor)

    def placed(self, latitude: float, longitude: float, yaw_enu_rad: float) -> tuple[Array, float]:
        """A pose on earth as position [2] and yaw on this plane."""
        east, north, turn = placed(self.frame, latitude, longitude)
        return np.array([east, north]), yaw_enu_rad + turn

    def moved_to(self, pose: Array) -> tuple[Plane, float, float, float] | None:
        """A plane at a pose that lies further than 1 km from the anchor, None for a nearer one.

        With it the way there: poses of this plane turn by the angle, then move east and north.
        """
        east, north = float(pose[0]), float(pose[1])
        if math.hypot(east, north) < _REACH_M:
            return None
        moved, origin = Plane(self.frame.point(east, north)), self.frame.origin
        at, turn = moved.placed(origin.latitude, origin.longitude, 0.0)
        return moved, turn, float(at[0]), float(at[1])
