# SPDX-License-Identifier: Apache-2.0
"""What tile files hold: PNG, JPEG and WebP pictures to pixels, and what their metadata say of them."""

from __future__ import annotations

import html
import re

import cv2
import numpy as np

from geodistill_core.errors import MapError
from geodistill_core.types import Array


def decode_tile(blob: object, name: str, sides: tuple[int, ...] = ()) -> tuple[Array, Array | None]:
    """rgb [H, W, 3] uint8 and its mask (None: all valid). MapError for what is no such image.

    With `sides`, also for what is not square with one of these sides.
    """
    data = blob if isinstance(blob, bytes) else b""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:
        image = None
    if image is None or image.dtype != np.uint8:
        raise MapError(f"{name} ({len(data)} bytes) is not an 8-bit PNG, JPEG or WebP image; fetch the tile again")
    height, width = image.shape[:2]
    if sides and (height != width or height not in sides):
        wanted = " or ".join(str(side) for side in sides)
        raise MapError(f"{name} is {width} x {height} pixels, not {wanted} square; use one tile size")
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2), None
    rgb = np.ascontiguousarray(image[..., 2::-1])
    if image.shape[2] == 3 or (image[..., 3] >= 128).all():
        return rgb, None
    valid = np.asarray(image[..., 3] >= 128)
    rgb[~valid] = 0
    return rgb, valid


def plain_text(text: str) -> str:
    """Attributions of web maps come wrapped in links; here they are drawn and printed as plain text."""
    return html.unescape(re.sub(r"<[^>]*>", "", text)).strip()


def stated_sigma_m(text: str) -> float:
    """`map_sigma_m` as metadata state it, 0 (unknown) for what is no such number of metres."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 < value < 100.0 else 0.0
