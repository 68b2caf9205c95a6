# SPDX-License-Identifier: Apache-2.0
"""How the vehicle moved between two images, by odometry, gyroscope and attitude, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from geodistill_core.geometry.angles import wrap
from geodistill_core.localization.dead_reckoning import displacement
from geodistill_core.localization.readings import AttitudeReading, Readings

_MAX_GAP_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Motion:
    """A step of the vehicle: `ahead_m` and `left_m` along its heading at the start, and the turn.

    `measured_s` of its `seconds` were covered by odometry, and `turn_measured` says whether the turn was measured;
    for the rest somebody has to guess. `speed_mps` and `yaw_rate_radps` are the newest measured ones, or None.
    """

    seconds: float
    ahead_m: float = 0.0
    left_m: float = 0.0
    turn_rad: float = 0.0
    distance_m: float = 0.0
    measured_s: float = 0.0
    turn_measured: bool = False
    speed_mps: float | None = None
    yaw_rate_radps: float | None = None

    @property
    def blind_s(self) -> float:
        """The time that no odometry covers."""
        return max(0.0, self.seconds - self.measured_s)


class MotionSource(Protocol):
    """Anything that holds the readings of an interval, such as a sensor buffer."""

    def readings(self, from_ns: int, to_ns: int) -> Readings:
        """The fixes in (from_ns, to_ns], and the attitudes and motions that cover the interval."""


def motion_over(readings: Readings, from_ns: int, to_ns: int) -> Motion:
    """The motion over [from_ns, to_ns] as far as the readings cover it; none where time runs back."""
    seconds = (to_ns - from_ns) * 1e-9
    if seconds <= 0.0:
        return Motion(0.0)
    moved = displacement(readings.motions, from_ns, to_ns, 0.0, _MAX_GAP_NS)
    measured_s = seconds - moved.uncovered_s
    turn, turn_measured = moved.yaw_change_rad, measured_s > 0.9 * seconds
    if not turn_measured:
        by_attitude = _turn_by_attitude(readings.attitudes, from_ns, to_ns)
        if by_attitude is not None:
            turn, turn_measured = by_attitude, True
    # the displacement is anchored at the heading at the end, which is 0 there
    c, s = math.cos(moved.yaw_change_rad), math.sin(moved.yaw_change_rad)
    newest = readings.motions[-1] if readings.motions and measured_s > 0.0 else None
    return Motion(
        seconds,
        c * moved.east_m - s * moved.north_m,
        s * moved.east_m + c * moved.north_m,
        turn,
        moved.distance_m,
        measured_s,
        turn_measured,
        newest.speed_mps if newest else None,
        newest.yaw_rate_radps if newest else None,
    )


def _turn_by_attitude(attitudes: tuple[AttitudeReading, ...], from_ns: int, to_ns: int) -> float | None:
    """The change of the measured heading, None where a reading is missing near either end.

    A compass' bias cancels; its noise does not.
    """
    if not attitudes:
        return None
    first = min(attitudes, key=lambda reading: abs(reading.stamp_ns - from_ns))
    last = min(attitudes, key=lambda reading: abs(reading.stamp_ns - to_ns))
    reach_ns = _MAX_GAP_NS // 2
    if abs(first.stamp_ns - from_ns) > reach_ns or abs(last.stamp_ns - to_ns) > reach_ns:
        return None
    return float(wrap(last.yaw_enu_rad - first.yaw_enu_rad))
