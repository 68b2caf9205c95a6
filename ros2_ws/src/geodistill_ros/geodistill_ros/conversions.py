# SPDX-License-Identifier: Apache-2.0
"""Image messages to RGB arrays, with or without cv_bridge."""

from __future__ import annotations

import importlib
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
from geodistill_core.errors import DatasetError
from geodistill_core.types import MAX_IMAGE_SIDE, Array


class FrameError(DatasetError):
    """An image that cannot be used; `reason` is the counter it belongs to."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def rgb_of(msg: Any, *, panorama: bool = False) -> Array:
    """`sensor_msgs/Image` or `CompressedImage` to H x W x 3 uint8 RGB; raises ImageError.

    The core decodes the 8-bit encodings by itself, with or without ROS; cv_bridge, where it is installed,
    adds the rest (YUV, 16 bit).
    """
    if hasattr(msg, "format"):
        return decode_compressed(msg, panorama=panorama)
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


def _cv_bridge() -> ModuleType | None:
    try:
        return importlib.import_module("cv_bridge")
    except ImportError:
        return None
