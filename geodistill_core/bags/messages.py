# SPDX-License-Identifier: Apache-2.0
"""Sensor messages to readings, duck-typed: rclpy's and rosbags' classes both fit."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.localization.gnss import DEFAULT_SIGMA_M, FixReading, FixReject, check_fix
from geodistill_core.localization.readings import AttitudeReading, MotionReading
from geodistill_core.types import CameraModel

DEFAULT_SIGMA_YAW_RAD = math.radians(10.0)
_DISTORTION_MODELS = ("", "plumb_bob", "rational_polynomial")
_QUATERNION_TOLERANCE = 0.1


class AttitudeReject(str, Enum):
    """Why an IMU message has no usable orientation."""

    NO_ORIENTATION = "no_orientation"
    QUATERNION = "quaternion"

    def __str__(self) -> str:
        return self.value


def stamp_ns(header: Any) -> int:
    """`std_msgs/Header` stamp in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def fix_from(msg: Any, *, default_sigma_m: float = DEFAULT_SIGMA_M, inflation: float = 1.0) -> FixReading | FixReject:
    """`sensor_msgs/NavSatFix` to a usable fix or the reason why it is none."""
    return check_fix(
        stamp_ns(msg.header),
        int(msg.status.status),
        float(msg.latitude),
        float(msg.longitude),
        covariance=msg.position_covariance,
        covariance_type=int(msg.position_covariance_type),
        default_sigma_m=default_sigma_m,
        inflation=inflation,
    )


def attitude_from(
    msg: Any, *, default_sigma_yaw_rad: float = DEFAULT_SIGMA_YAW_RAD
) -> AttitudeReading | AttitudeReject:
    """`sensor_msgs/Imu`, mounted along the base's axes and with an ENU heading, to an attitude.

    A first covariance element of -1 means that the sensor has no orientation (REP-145); a heading variance
    that is zero, negative or not finite is unknown and gives `default_sigma_yaw_rad`.
    """
    if float(msg.orientation_covariance[0]) == -1.0:
        return AttitudeReject.NO_ORIENTATION
    quaternion = unit_quaternion(msg.orientation)
    if quaternion is None:
        return AttitudeReject.QUATERNION
    roll, pitch, yaw = euler(*quaternion)
    variance = float(msg.orientation_covariance[8])
    known = math.isfinite(variance) and variance > 0.0
    sigma = math.sqrt(variance) if known else default_sigma_yaw_rad
    return AttitudeReading(stamp_ns(msg.header), roll, pitch, yaw, sigma)


def motion_from(msg: Any) -> MotionReading:
    """`nav_msgs/Odometry` (twist in the base frame) to speed and yaw rate."""
    twist = msg.twist.twist
    return MotionReading(stamp_ns(msg.header), float(twist.linear.x), float(twist.angular.z))


def camera_from(msg: Any) -> CameraModel:
    """`sensor_msgs/CameraInfo` to a pinhole model; ConfigError for other models, binning, regions."""
    if msg.distortion_model not in _DISTORTION_MODELS:
        raise ConfigError(
            f"camera model {msg.distortion_model!r} is not plumb_bob or rational_polynomial; rectify upstream"
        )
    if max(msg.binning_x, msg.binning_y) > 1 or msg.roi.width or msg.roi.height:
        raise ConfigError("CameraInfo states binning or a region of interest; publish the full image's one")
    if not (msg.width and msg.height):
        raise ConfigError(f"CameraInfo states {msg.width} x {msg.height} pixels; publish the size of its images")
    distortion = tuple(float(value) for value in msg.d)
    if not any(distortion):
        distortion = ()
    return CameraModel(int(msg.width), int(msg.height), np.asarray(msg.k, np.float64).reshape(3, 3), distortion)


def unit_quaternion(orientation: Any) -> tuple[float, float, float, float] | None:
    """x, y, z, w of a `geometry_msgs/Quaternion`; None where its length is not near 1 (unset ones are zero)."""
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w], dtype=np.float64)
    norm = float(np.linalg.norm(quaternion))
    if not abs(norm - 1.0) <= _QUATERNION_TOLERANCE:
        return None
    x, y, z, w = (quaternion / norm).tolist()
    return x, y, z, w


def euler(x: float, y: float, z: float, w: float) -> tuple[float, float, float]:
    """Unit quaternion to roll, pitch, yaw with R = Rz(yaw) Ry(pitch) Rx(roll)."""
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return roll, pitch, yaw
