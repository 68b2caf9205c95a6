# SPDX-License-Identifier: Apache-2.0
"""Pixels to PNG, JPEG and WebP tiles."""

from __future__ import annotations

import cv2
import numpy as np

from geodistill_core.types import Array

IMAGE_FORMATS = {"png": [], "jpg": [cv2.IMWRITE_JPEG_QUALITY, 92], "webp": [cv2.IMWRITE_WEBP_QUALITY, 90]}


def encode_tile(rgb: Array, valid: Array, image_format: str) -> bytes:
    """rgb [H, W, 3] uint8 in one of `IMAGE_FORMATS`; PNG with transparency where not all of valid [H, W] holds."""
    if valid.all():
        return bytes(cv2.imencode(f".{image_format}", rgb[..., ::-1], IMAGE_FORMATS[image_format])[1])
    # Only PNG keeps the mask exactly; readers tell a tile's format by its first bytes.
    rgba = np.dstack([rgb[..., ::-1], np.where(valid, 255, 0).astype(np.uint8)])
    return bytes(cv2.imencode(".png", rgba)[1])
