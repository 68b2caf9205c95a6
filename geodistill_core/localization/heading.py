# SPDX-License-Identifier: Apache-2.0
"""Roll, pitch and heading at an image's stamp, from an attitude stream or from the course over ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.dead_reckoning import Displacement, displacement
from geodistill_core.localization.gnss import FixReading
from geodistill_core.localization.readings import (
    AttitudeReading,
    GapReason,
    HeadingSource,
    MotionReading,
    SensorBufferConfig,
    SensorGap,
)
from geodistill_core.localization.streams import Stream


@dataclass(frozen=True, slots=True)
class HeadingEstimator:
    """Reads the streams of one sensor buffer."""

    config: SensorBufferConfig
    attitudes: Stream[AttitudeReading]
    motions: Stream[MotionReading]
    fixes: Stream[FixReading]

    def at(self, stamp_ns: int, newest: FixReading, frame: LocalFrame) -> AttitudeReading:
        """Attitude at the stamp; raises SensorGap where the configured source cannot say."""
        if self.config.heading_source is HeadingSource.COURSE:
            yaw, sigma = self._course(stamp_ns, newest, frame)
            return AttitudeReading(stamp_ns, *self.tilt(stamp_ns), yaw, sigma)
        return self.measured(stamp_ns)

    def tilt(self, stamp_ns: int) -> tuple[float, float]:
        """Roll and pitch near the stamp; without an inertial sensor the vehicle is taken as level."""
        near = self._near(stamp_ns)
        return (near[0].roll_rad, near[0].pitch_rad) if near else (0.0, 0.0)

    def measured(self, stamp_ns: int) -> AttitudeReading:
        """Attitude at the stamp by the attitude stream; raises SensorGap where it is silent."""
        near = self._near(stamp_ns)
        if not self.attitudes.readings:
            raise SensorGap(GapReason.NO_ATTITUDE, "no attitude so far; connect an IMU or take the course as heading")
        if not near:
            raise SensorGap(
                GapReason.ATTITUDE_STALE,
                f"no attitude within {self.config.max_attitude_age_s:.2f} s of {stamp_ns} ns; check the IMU",
            )
        return self._held(near[0], stamp_ns) if len(near) == 1 else _between(near[0], near[1], stamp_ns)

    def _near(self, stamp_ns: int) -> list[AttitudeReading]:
        limit_ns = int(self.config.max_attitude_age_s * 1e9)
        return [r for r in self.attitudes.around(stamp_ns) if r and abs(r.stamp_ns - stamp_ns) <= limit_ns]

    def travelled(self, from_ns: int, to_ns: int, yaw_end_enu_rad: float) -> Displacement:
        """Dead reckoning over the buffered motion readings."""
        gap_ns = int(self.config.max_motion_gap_s * 1e9)
        return displacement(self.motions.readings, from_ns, to_ns, yaw_end_enu_rad, gap_ns)

    def _held(self, reading: AttitudeReading, stamp_ns: int) -> AttitudeReading:
        """A reading from beside the stamp, its heading turned by the yaw rate in between."""
        earlier, later = sorted((reading.stamp_ns, stamp_ns))
        turned = self.travelled(earlier, later, 0.0).yaw_change_rad
        yaw = wrap(reading.yaw_enu_rad + math.copysign(1.0, stamp_ns - reading.stamp_ns) * turned)
        return AttitudeReading(stamp_ns, reading.roll_rad, reading.pitch_rad, yaw, reading.sigma_yaw_rad)

    def _course(self, stamp_ns: int, newest: FixReading, frame: LocalFrame) -> tuple[float, float]:
        """Yaw and sigma from the chord between two fixes: the heading half-way, turned on by the yaw rate."""
        east, north = frame.to_enu(newest.latitude, newest.longitude)
        for earlier in self.fixes.before(newest.stamp_ns):
            east_0, north_0 = frame.to_enu(earlier.latitude, earlier.longitude)
            chord_m = math.hypot(east - east_0, north - north_0)
            if chord_m < self.config.course_baseline_m:
                continue
            yaw = math.atan2(north - north_0, east - east_0)
            if self.travelled(earlier.stamp_ns, newest.stamp_ns, 0.0).east_m < 0.0:  # in reverse
                yaw += math.pi
            half_way_ns = (earlier.stamp_ns + newest.stamp_ns) // 2
            yaw += self.travelled(half_way_ns, stamp_ns, 0.0).yaw_change_rad
            return wrap(yaw), math.atan2(math.sqrt(2.0) * self.config.course_fix_sigma_m, chord_m)
        raise SensorGap(
            GapReason.NO_HEADING,
            f"GNSS fixes lie within {self.config.course_baseline_m:.0f} m; the course needs motion",
        )


def _between(before: AttitudeReading, after: AttitudeReading, stamp_ns: int) -> AttitudeReading:
    """Linear between two readings, the heading along the shorter arc."""
    share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    return AttitudeReading(
        stamp_ns,
        before.roll_rad + share * (after.roll_rad - before.roll_rad),
        before.pitch_rad + share * (after.pitch_rad - before.pitch_rad),
        wrap(before.yaw_enu_rad + share * wrap(after.yaw_enu_rad - before.yaw_enu_rad)),
        max(before.sigma_yaw_rad, after.sigma_yaw_rad),
    )
