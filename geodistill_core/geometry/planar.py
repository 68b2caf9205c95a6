# SPDX-License-Identifier: Apache-2.0
"""Rigid motions of the plane: how one frame of REP-105 lies in another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geodistill_core.geometry.angles import wrap


@dataclass(frozen=True, slots=True)
class Planar:
    """Where a child frame lies in its parent: metres along the parent's axes, and a turn counter-clockwise."""

    x_m: float
    y_m: float
    yaw_rad: float

    def __matmul__(self, child: Planar) -> Planar:
        """`T_a_b @ T_b_c` is `T_a_c`; the yaw comes back in [-pi, pi)."""
        x_m, y_m = self.rotated(child.x_m, child.y_m)
        return Planar(self.x_m + x_m, self.y_m + y_m, wrap(self.yaw_rad + child.yaw_rad))

    @property
    def inverse(self) -> Planar:
        """Where the parent lies in the child."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return Planar(-c * self.x_m - s * self.y_m, s * self.x_m - c * self.y_m, wrap(-self.yaw_rad))

    def rotated(self, x_m: float, y_m: float) -> tuple[float, float]:
        """A vector in the child's axes, along the parent's."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return c * x_m - s * y_m, s * x_m + c * y_m

    def towards(self, other: Planar, share: float) -> Planar:
        """The motion `share` of the way to `other`, the heading along the shorter arc."""
        return Planar(
            self.x_m + share * (other.x_m - self.x_m),
            self.y_m + share * (other.y_m - self.y_m),
            wrap(self.yaw_rad + share * wrap(other.yaw_rad - self.yaw_rad)),
        )


def map_from_odom(map_base: Planar, odom_base: Planar) -> Planar:
    """`T_map_odom` from two views of the base at the same moment (REP-105)."""
    return map_base @ odom_base.inverse
