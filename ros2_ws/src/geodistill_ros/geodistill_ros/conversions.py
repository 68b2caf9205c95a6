# SPDX-License-Identifier: Apache-2.0
"""Messages to the core's nouns. Every function validates first and raises an error with a named reason."""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Any

import numpy as np

from geodistill_core.bags.images import (
    SUPPORTED_ENCODINGS,
    ImageError,
    ImageReason,
    decode_compressed,
    decode_image,
)
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.types import MAX_IMAGE_SIDE, Array, CameraModel

_PINHOLE_MODELS = ("", "plumb_bob", "rational_polynomial")


class ReadingError(DatasetError):
    """A sensor message that cannot be used; `reason` is the counter it belongs to."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def stamp_ns_of(header: Any) -> int:
    """`std_msgs/Header` stamp in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def rgb_of(msg: Any) -> Array:
    """`sensor_msgs/Image` or `CompressedImage` to H x W x 3 uint8 RGB; raises ImageError.

    The core decodes the 8-bit encodings by itself, with or without ROS; cv_bridge, where it is installed,
    adds the rest (YUV, 16 bit).
    """
    if hasattr(msg, "format"):
        return decode_compressed(msg)
    bridge = _cv_bridge()
    if msg.encoding in SUPPORTED_ENCODINGS or bridge is None:
        return decode_image(msg)
    if max(msg.width, msg.height) > MAX_IMAGE_SIDE or len(msg.data) != msg.step * msg.height:
        raise ImageError(
            ImageReason.SIZE,
            f"image {msg.width} x {msg.height} of {len(msg.data)} bytes: sides go up to {MAX_IMAGE_SIDE} and "
            f"the data must hold step {msg.step} x height; fix the driver",
        )
    try:
        rgb = bridge.CvBridge().imgmsg_to_cv2(msg, desired_encoding="rgb8")
    except Exception as error:
        raise ImageError(
            ImageReason.ENCODING, f"cv_bridge cannot convert encoding {msg.encoding!r} to rgb8: {error}"
        ) from error
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def camera_of(info: Any) -> CameraModel:
    """`sensor_msgs/CameraInfo` to a camera model; raises ReadingError for what cannot be a pinhole camera."""
    if info.distortion_model not in _PINHOLE_MODELS:
        raise ReadingError(
            "distortion_model",
            f"distortion model {info.distortion_model!r} is not one of plumb_bob, rational_polynomial; "
            "rectify the images upstream",
        )
    if info.binning_x > 1 or info.binning_y > 1 or info.roi.x_offset or info.roi.y_offset:
        raise ReadingError(
            "binning",
            "CameraInfo with binning or a region of interest; send the info of the image as published",
        )
    try:
        K = np.array(info.k, dtype=np.float64).reshape(3, 3)
        return CameraModel(int(info.width), int(info.height), K, tuple(float(d) for d in info.d))
    except ConfigError as error:
        raise ReadingError("intrinsics", f"CameraInfo refused: {error}") from error


def attitude_of(orientation: Any) -> tuple[float, float, float]:
    """`geometry_msgs/Quaternion` (world <- base) to roll, pitch, yaw in radians; raises ReadingError."""
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    if not abs(norm - 1.0) < 0.1:  # also NaN, and the all-zero quaternion of a device without orientation
        raise ReadingError(
            "quaternion", f"orientation has norm {norm:.3g}, expected 1; the device reports none"
        )
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x))))
    yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return roll, pitch, yaw


def _cv_bridge() -> ModuleType | None:
    try:
        return importlib.import_module("cv_bridge")
    except ImportError:
        return None
