# SPDX-License-Identifier: Apache-2.0
"""GNSS, IMU and odometry messages into the core's SensorBuffer; refused readings are counted by reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from geodistill_core.localization.gnss import FixReading, SigmaSource, check_fix
from geodistill_core.localization.sensor_buffer import (
    AttitudeReading,
    FramePrior,
    HeadingSource,
    MotionReading,
    SensorBuffer,
    SensorBufferConfig,
)
from geodistill_ros.conversions import ReadingError, attitude_of, stamp_ns_of
from geodistill_ros.counters import Counters
from geodistill_ros.parameters import NodeParameters

YAW_VARIANCE_IMU = 8
YAW_VARIANCE_POSE = 35


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
        reading = check_fix(
            stamp_ns_of(msg.header),
            msg.status.status,
            msg.latitude,
            msg.longitude,
            covariance=list(msg.position_covariance),
            covariance_type=msg.position_covariance_type,
            default_sigma_m=settings.gnss_default_sigma_m,
            inflation=settings.gnss_sigma_inflation,
        )
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
        if msg.orientation_covariance[0] == -1.0:
            self._counters.add("imu.rejected.no_orientation")
            return
        self._take_attitude("imu", msg.header, msg.orientation, msg.orientation_covariance[YAW_VARIANCE_IMU])

    def on_odometry(self, msg: Any) -> None:
        """Take an `Odometry`: speed and yaw rate, and the heading where `heading_source` is odometry."""
        twist = msg.twist.twist
        self._buffer.add_motion(MotionReading(stamp_ns_of(msg.header), twist.linear.x, twist.angular.z))
        if self._source == "odometry":
            variance = msg.pose.covariance[YAW_VARIANCE_POSE]
            self._take_attitude("odometry", msg.header, msg.pose.pose.orientation, variance)

    def prior_at(self, stamp_ns: int) -> FramePrior:
        """The prior for an image; raises SensorGap with the reason where there is none."""
        if self._source == "parameter":
            settings = self._settings()
            yaw, sigma = math.radians(settings.heading_yaw_deg), math.radians(settings.heading_sigma_deg)
            self._buffer.add_attitude(AttitudeReading(stamp_ns, 0.0, 0.0, yaw, sigma))
        return self._buffer.at(stamp_ns)

    def reset(self) -> None:
        """Forget all readings, after the clock jumped back."""
        self._buffer.reset()

    def refused(self) -> dict[str, int]:
        """Refused readings by `STREAM.rejected.REASON`."""
        dropped = self._buffer.dropped().items()
        return {".rejected.".join(name.split(".", 1)): count for name, count in dropped}

    def _take_attitude(self, stream: str, header: Any, orientation: Any, variance: float) -> None:
        try:
            roll, pitch, yaw = attitude_of(orientation)
        except ReadingError as error:
            self._counters.add(f"{stream}.rejected.{error.reason}")
            return
        stated = math.isfinite(variance) and variance > 0.0
        sigma = math.sqrt(variance) if stated else math.radians(self._settings().heading_sigma_deg)
        self._buffer.add_attitude(AttitudeReading(stamp_ns_of(header), roll, pitch, yaw, sigma))
