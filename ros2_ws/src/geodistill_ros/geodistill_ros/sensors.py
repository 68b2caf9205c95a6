# SPDX-License-Identifier: Apache-2.0
"""GNSS, IMU and odometry messages into the core's SensorBuffer; refused readings are counted by reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from geodistill_core.bags.messages import AttitudeReject, attitude_from, fix_from, motion_from
from geodistill_core.localization.gnss import FixReading, SigmaSource
from geodistill_core.localization.sensor_buffer import (
    AttitudeReading,
    FramePrior,
    HeadingSource,
    SensorBuffer,
    SensorBufferConfig,
    SensorGap,
)
from geodistill_ros.counters import Counters
from geodistill_ros.parameters import NodeParameters

_POSE_YAW_VARIANCE = 35


class SensorInputs:
    """Callbacks of the sensor topics, and the prior for an image."""

    def __init__(self, settings: Callable[[], NodeParameters], counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._source = settings().heading_source
        course = self._source == "course"
        self._buffer = SensorBuffer(
            SensorBufferConfig(
                heading_source=HeadingSource.COURSE if course else HeadingSource.ATTITUDE,
                max_fix_age_s=settings().max_fix_age_s,
                max_speed_mps=settings().max_speed_mps,
            )
        )
        self.sigma_source = ""

    def on_fix(self, msg: Any) -> FixReading | None:
        """Take a `NavSatFix`; returns the reading where it was accepted."""
        settings = self._settings()
        reading = fix_from(msg, default_sigma_m=settings.gnss_default_sigma_m, inflation=settings.gnss_sigma_inflation)
        accepted = self._buffer.add_fix(reading)
        if not accepted or not isinstance(reading, FixReading):
            return None
        self.sigma_source = str(reading.sigma_source)
        self._counters.add("gnss.accepted")
        if reading.sigma_source is SigmaSource.DEFAULT:
            self._counters.add("gnss.sigma_default")
        return reading

    def on_imu(self, msg: Any) -> None:
        """Take an `Imu`: attitude and heading (ENU)."""
        self._take_attitude("imu", msg)

    def on_odometry(self, msg: Any) -> None:
        """Take an `Odometry`: speed and yaw rate, and the attitude where `heading_source` is odometry."""
        self._buffer.add_motion(motion_from(msg))
        if self._source == "odometry":
            covariance = [0.0] * 8 + [msg.pose.covariance[_POSE_YAW_VARIANCE]]
            orientation = msg.pose.pose.orientation
            like_imu = SimpleNamespace(header=msg.header, orientation=orientation, orientation_covariance=covariance)
            self._take_attitude("odometry", like_imu)

    def prior_at(self, stamp_ns: int) -> FramePrior:
        """The prior for an image; raises SensorGap with the reason where there is none."""
        if self._source == "parameter":
            settings = self._settings()
            yaw, sigma = math.radians(settings.heading_yaw_deg), math.radians(settings.heading_sigma_deg)
            self._buffer.add_attitude(AttitudeReading(stamp_ns, 0.0, 0.0, yaw, sigma))
        return self._buffer.at(stamp_ns)

    def heading_and_speed(self, stamp_ns: int) -> tuple[float | None, float | None]:
        """Yaw (ENU, radians) and metres per second as measured, each None where nothing measures it."""
        if self._source == "parameter":
            return None, None
        try:
            now = self._buffer.at(stamp_ns)
        except SensorGap:
            return None, None
        return now.prior.yaw_enu_rad, now.speed_mps

    def reset(self) -> None:
        """Forget all readings, after the clock jumped back."""
        self._buffer.reset()

    def refused(self) -> dict[str, int]:
        """Refused readings by `STREAM.rejected.REASON`."""
        dropped = self._buffer.dropped().items()
        return {".rejected.".join(name.split(".", 1)): count for name, count in dropped}

    def _take_attitude(self, stream: str, msg: Any) -> None:
        default_sigma = math.radians(self._settings().heading_sigma_deg)
        attitude = attitude_from(msg, default_sigma_yaw_rad=default_sigma)
        if isinstance(attitude, AttitudeReject):
            self._counters.add(f"{stream}.rejected.{attitude}")
        else:
            self._buffer.add_attitude(attitude)
