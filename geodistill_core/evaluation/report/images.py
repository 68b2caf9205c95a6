# SPDX-License-Identifier: Apache-2.0
"""Pictures inside the page: JPEG thumbnails as data URIs."""

from __future__ import annotations

import base64

import cv2

from geodistill_core.errors import DatasetError
from geodistill_core.types import Array


def encode_jpeg(rgb: Array, quality: int = 80) -> bytes:
    """JPEG bytes of an H x W x 3 uint8 RGB picture."""
    done, buffer = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DatasetError(f"picture of shape {rgb.shape} cannot be encoded as JPEG")
    return bytes(buffer)


def thumbnail(rgb: Array, width: int, quality: int = 80) -> bytes:
    """JPEG bytes scaled down to `width` (never up), aspect kept.

    Halved as often as that leaves enough pixels, which is many times as fast as one step of any size.
    """
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    while rgb.shape[1] >= 2 * width and rgb.shape[0] >= 2:
        rgb = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR) if width < rgb.shape[1] else rgb
    return encode_jpeg(small, quality)


def data_uri(jpeg: bytes) -> str:
    """The picture as an address that needs no network."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
