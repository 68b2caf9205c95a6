# SPDX-License-Identifier: Apache-2.0
"""GNSS, IMU and odometry messages into the core's SensorBuffer; refused readings are counted by reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
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
from geodistill_core.types import Prior
from geodistill_ros.counters import Counters
from geodistill_ros.parameters import NodeParameters

_POSE_YAW_VARIANCE = 35


class SensorInputs:
    """Callbacks of the sensor topics, and the prior for an image. `antenna` tells where a fix's frame_id is mounted."""

    def __init__(
        self, settings: Callable[[], NodeParameters], counters: Counters, antenna: Callable[[str], tuple[float, float]]
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._antenna = antenna
        self._source = settings().heading_source
        course = self._source == "course"
        self.buffer = SensorBuffer(
            SensorBufferConfig(
                heading_source=HeadingSource.COURSE if course else HeadingSource.ATTITUDE,
                max_fix_age_s=settings().max_fix_age_s,
                max_speed_mps=settings().max_speed_mps,
            )
        )
        self.sigma_source = ""

    def on_fix(self, msg: Any) -> FixReading | None:
        """Take a `NavSatFix`; returns the reading where it was accepted. Raises MountUnavailableError."""
        settings = self._settings()
        reading = fix_from(msg, default_sigma_m=settings.gnss_default_sigma_m, inflation=settings.gnss_sigma_inflation)
        if isinstance(reading, FixReading):
            antenna_x_m, antenna_y_m = self._antenna(msg.header.frame_id)
            reading = replace(reading, antenna_x_m=antenna_x_m, antenna_y_m=antenna_y_m)
        accepted = self.buffer.add_fix(reading)
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
        self.buffer.add_motion(motion_from(msg))
        if self._source == "odometry":
            covariance = [0.0] * 8 + [msg.pose.covariance[_POSE_YAW_VARIANCE]]
            orientation = msg.pose.pose.orientation
            like_imu = SimpleNamespace(header=msg.header, orientation=orientation, orientation_covariance=covariance)
            self._take_attitude("odometry", like_imu)

    def prior_at(self, stamp_ns: int, expected: Prior | None = None) -> FramePrior:
        """The prior for an image; raises SensorGap with the reason where there is none.

        `expected` stands in where no usable fix exists.
        """
        if self._source == "parameter":
            settings = self._settings()
            yaw, sigma = math.radians(settings.heading_yaw_deg), math.radians(settings.heading_sigma_deg)
            self.buffer.add_attitude(AttitudeReading(stamp_ns, 0.0, 0.0, yaw, sigma))
        return self.buffer.at(stamp_ns, expected)

    def heading_and_speed(self, stamp_ns: int) -> tuple[float | None, float | None]:
        """Yaw (ENU, radians) and metres per second as measured, each None where nothing measures it."""
        if self._source == "parameter":
            return None, None
        try:
            now = self.buffer.at(stamp_ns)
        except SensorGap:
            return None, None
        return now.prior.yaw_enu_rad, now.speed_mps

    def reset(self) -> None:
        """Forget all readings, after the clock jumped back."""
        self.buffer.reset()

    def refused(self) -> dict[str, int]:
        """Refused readings by `STREAM.rejected.REASON`."""
        dropped = self.buffer.dropped().items()
        return {".rejected.".join(name.split(".", 1)): count for name, count in dropped}

    def _take_attitude(self, stream: str, msg: Any) -> None:
        default_sigma = math.radians(self._settings().heading_sigma_deg)
        attitude = attitude_from(msg, default_sigma_yaw_rad=default_sigma)
        if isinstance(attitude, AttitudeReject):
            self._counters.add(f"{stream}.rejected.{attitude}")
        else:
            self.buffer.add_attitude(attitude)
