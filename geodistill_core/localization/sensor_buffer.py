# SPDX-License-Identifier: Apache-2.0
"""Sensor streams in, one prior per image out: the same code for the live node and the offline replay.

A prior at an image's stamp is the newest usable GNSS fix at or before it, carried forward by dead reckoning
along the heading, with a sigma that grows by the way travelled and by the time no motion reading covers.
Fixes are not averaged: most of a cheap receiver's error is a slow bias, and averaging would only hide it.
Nothing here reads a clock: the answer depends on the readings alone.
"""

from __future__ import annotations

import math
from threading import Lock

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.gnss import FixReading, FixReject
from geodistill_core.localization.heading import HeadingEstimator
from geodistill_core.localization.readings import (
    AttitudeReading,
    FramePrior,
    GapReason,
    HeadingSource,
    MotionReading,
    Readings,
    SensorBufferConfig,
    SensorGap,
)
from geodistill_core.localization.streams import Stream
from geodistill_core.types import GeoPoint, Prior

__all__ = [
    "AttitudeReading",
    "FixReading",
    "FramePrior",
    "GapReason",
    "HeadingSource",
    "MotionReading",
    "Readings",
    "SensorBuffer",
    "SensorBufferConfig",
    "SensorGap",
]

_REANCHOR_M = 1_000.0
_MAX_TILT_RAD = 0.8
_FIX_GAPS = (GapReason.NO_FIX, GapReason.FIX_STALE, GapReason.NO_HEADING)


class SensorBuffer:
    """Short histories of fixes, attitude and motion; every method may be called from any thread."""

    def __init__(self, config: SensorBufferConfig | None = None) -> None:
        self.config = config or SensorBufferConfig()
        self._lock = Lock()
        self._fixes: Stream[FixReading] = Stream("gnss")
        self._attitudes: Stream[AttitudeReading] = Stream("attitude")
        self._motions: Stream[MotionReading] = Stream("motion")
        self._heading = HeadingEstimator(self.config, self._attitudes, self._motions, self._fixes)
        self._frame = LocalFrame(GeoPoint(0.0, 0.0))

    def reset(self) -> None:
        """Forget all readings (a clock jumped back, a bag looped); the counters of refused ones stay."""
        with self._lock:
            for stream in (self._fixes, self._attitudes, self._motions):
                stream.readings.clear()

    def dropped(self) -> dict[str, int]:
        """How many readings were refused so far, by `stream.reason`."""
        with self._lock:
            total = self._fixes.dropped + self._attitudes.dropped + self._motions.dropped
        return dict(sorted(total.items()))

    def add_fix(self, fix: FixReading | FixReject) -> bool:
        """Take a judged fix; False where it was refused (and counted)."""
        with self._lock:
            if isinstance(fix, FixReject):
                return self._fixes.drop(str(fix))
            if not _finite(fix.latitude, fix.longitude, fix.sigma_m):
                return self._fixes.drop("nan")
            if self._jumps(fix):
                return self._fixes.drop("jump")
            if not self._fixes.push(fix):
                return False
            self._anchor(fix)
            return True

    def add_attitude(self, attitude: AttitudeReading) -> bool:
        """Take an attitude; False where it was refused (not finite, tilt over 0.8 rad, stamp not newer)."""
        roll, pitch = attitude.roll_rad, attitude.pitch_rad
        with self._lock:
            if not _finite(roll, pitch, attitude.yaw_enu_rad, attitude.sigma_yaw_rad):
                return self._attitudes.drop("nan")
            if max(abs(roll), abs(pitch)) >= _MAX_TILT_RAD:
                return self._attitudes.drop("tilt")
            if attitude.sigma_yaw_rad <= 0.0:
                return self._attitudes.drop("sigma")
            return self._attitudes.push(attitude)

    def add_motion(self, motion: MotionReading) -> bool:
        """Take a motion reading; False where it was refused (not finite, stamp not newer)."""
        with self._lock:
            if not _finite(motion.speed_mps, motion.yaw_rate_radps):
                return self._motions.drop("nan")
            return self._motions.push(motion)

    def at(self, stamp_ns: int, expected: Prior | None = None) -> FramePrior:
        """The prior at an image stamp; raises SensorGap with the reason where there is none.

        `expected` stands in where no usable fix exists, and for the heading where the course needs fixes.
        """
        with self._lock:
            try:
                return self._from_fix(stamp_ns, self._usable_fix(stamp_ns))
            except SensorGap as gap:
                if expected is None or gap.reason not in _FIX_GAPS:
                    raise
            return self._without_fix(stamp_ns, expected)

    def readings(self, from_ns: int, to_ns: int) -> Readings:
        """What the sensors said in (from_ns, to_ns], with the attitudes and motions that cover it."""
        with self._lock:
            fixes = tuple(fix for fix in self._fixes.readings if from_ns < fix.stamp_ns <= to_ns)
            return Readings(fixes, self._attitudes.covering(from_ns, to_ns), self._motions.covering(from_ns, to_ns))

    def _from_fix(self, stamp_ns: int, fix: FixReading) -> FramePrior:
        attitude = self._heading.at(stamp_ns, fix, self._frame)
        moved = self._heading.travelled(fix.stamp_ns, stamp_ns, attitude.yaw_enu_rad)
        east, north = self._frame.to_enu(fix.latitude, fix.longitude)
        latitude, longitude = self._frame.to_geodetic(east + moved.east_m, north + moved.north_m)
        along_m = moved.distance_m * math.hypot(self.config.motion_scale_sigma, min(attitude.sigma_yaw_rad, 1.0))
        blind_m = moved.uncovered_s * self.config.max_speed_mps
        sigma_m = min(math.sqrt(fix.sigma_m**2 + along_m**2 + blind_m**2), self.config.max_sigma_m)
        sigma_yaw = min(attitude.sigma_yaw_rad, math.pi)
        prior = Prior(latitude, longitude, sigma_m, attitude.yaw_enu_rad, sigma_yaw)
        age_s = (stamp_ns - fix.stamp_ns) * 1e-9
        return FramePrior(prior, attitude.roll_rad, attitude.pitch_rad, fix, age_s, self._speed(stamp_ns))

    def _without_fix(self, stamp_ns: int, expected: Prior) -> FramePrior:
        if self.config.heading_source is HeadingSource.COURSE:
            roll, pitch = self._heading.tilt(stamp_ns)
        else:
            attitude = self._heading.measured(stamp_ns)
            roll, pitch = attitude.roll_rad, attitude.pitch_rad
        return FramePrior(expected, roll, pitch, None, math.inf, self._speed(stamp_ns))

    def _speed(self, stamp_ns: int) -> float | None:
        motion, _ = self._motions.around(stamp_ns)
        if motion is None or (stamp_ns - motion.stamp_ns) * 1e-9 > self.config.max_motion_gap_s:
            return None
        return motion.speed_mps

    def _usable_fix(self, stamp_ns: int) -> FixReading:
        fix, _ = self._fixes.around(stamp_ns)
        if fix is None:
            raise SensorGap(GapReason.NO_FIX, f"no GNSS fix at or before stamp {stamp_ns}; wait for the receiver")
        age_s, limit_s = (stamp_ns - fix.stamp_ns) * 1e-9, self.config.max_fix_age_s
        if age_s > limit_s:
            raise SensorGap(
                GapReason.FIX_STALE,
                f"newest GNSS fix is {age_s:.2f} s old, limit {limit_s:.2f} s; check the receiver",
            )
        return fix

    def _jumps(self, fix: FixReading) -> bool:
        """Whether no vehicle could have come here from the last fix.

        A last fix older than the age limit does not count, so a receiver that really moved is believed again
        after that time.
        """
        if not self._fixes.readings:
            return False
        last = self._fixes.readings[-1]
        age_s = (fix.stamp_ns - last.stamp_ns) * 1e-9
        if not 0.0 < age_s <= self.config.max_fix_age_s:
            return False
        east, north = self._frame.to_enu(fix.latitude, fix.longitude)
        east_0, north_0 = self._frame.to_enu(last.latitude, last.longitude)
        noise_m = self.config.jump_sigmas * math.hypot(fix.sigma_m, last.sigma_m)
        return math.hypot(east - east_0, north - north_0) > self.config.max_speed_mps * age_s + noise_m

    def _anchor(self, fix: FixReading) -> None:
        """Keep the frame near the vehicle, so that its axes are east and north there."""
        first = len(self._fixes.readings) == 1
        if first or math.hypot(*self._frame.to_enu(fix.latitude, fix.longitude)) > _REANCHOR_M:
            self._frame = LocalFrame(GeoPoint(fix.latitude, fix.longitude))


def _finite(*values: float) -> bool:
    return all(map(math.isfinite, values))
