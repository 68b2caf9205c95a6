# SPDX-License-Identifier: Apache-2.0
"""The camera's half of an image: exposure, colour, blur, noise, compression."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import noise
from geodistill_core.datasets.synthcity.conditions import Conditions
from geodistill_core.types import Array


def _curves(conditions: Conditions) -> Array:
    """Tone curve of each channel, uint8 [256, 3]."""
    x = np.linspace(0.0, 1.0, 256)[:, None]
    y = x * conditions.exposure * np.array(conditions.white_balance)
    if conditions.night > 0:
        y *= (1.0 - 0.78 * conditions.night) * np.array([0.95, 0.98, 1.1])
    y = np.clip(y, 0.0, None) ** conditions.gamma
    y = 0.45 + (y - 0.45) * conditions.contrast
    y = np.where(y > 0.9, 0.9 + 0.1 * np.tanh((y - 0.9) / 0.1), y)  # highlights roll off
    return np.asarray(np.clip(np.round(255 * y), 0, 255), dtype=np.uint8)


@lru_cache(maxsize=4)
def _grain(height: int, width: int) -> Array:
    """Sensor noise of three independent channels, larger than an image by a few hundred pixels."""
    tile = np.stack([np.roll(noise.textures()[0], 311 * k, axis=k % 2) for k in range(3)], axis=2)
    repeats = (-(-(height + 256) // noise.SIDE), -(-(width + 256) // noise.SIDE), 1)
    return np.tile(tile, repeats)


def _add_noise(image: Array, sigma: float, seed: int) -> Array:
    height, width = image.shape[:2]
    grain = _grain(height, width)
    rng = np.random.default_rng(seed)
    r, c = int(rng.integers(grain.shape[0] - height)), int(rng.integers(grain.shape[1] - width))
    part = grain[r : r + height, c : c + width]
    return np.asarray(cv2.addWeighted(image, 1.0, part, sigma / 40.0, -128.0 * sigma / 40.0))


def _smudge(image: Array, amount: float, seed: int) -> Array:
    """Dirt on the lens: soft dark and bright blobs fixed to the sensor."""
    rng = np.random.default_rng(seed + 1)
    height, width = image.shape[:2]
    veil = np.zeros((height // 8, width // 8), np.float32)
    for _ in range(int(4 + 14 * amount)):
        p = (int(rng.integers(veil.shape[1])), int(rng.integers(veil.shape[0])))
        cv2.circle(veil, p, int(rng.integers(1, 7)), float(rng.uniform(0.3, 0.9)), -1)
    veil = cv2.resize(cv2.GaussianBlur(veil, (0, 0), 1.4), (width, height))[..., None]
    return np.asarray((image * (1 - veil) + veil * (60 + 0.35 * image)).astype(np.uint8))


def develop(image: Array, conditions: Conditions) -> Array:
    """Apply the camera of `conditions` to a linear-ish uint8 RGB image."""
    out = image
    if conditions.saturation != 1.0:
        s, w = conditions.saturation, np.array([0.299, 0.587, 0.114])
        out = cv2.transform(out, (s * np.eye(3) + (1 - s) * w[None].repeat(3, 0)).astype(np.float32))
    if conditions.blur_px > 0.2:
        out = cv2.GaussianBlur(out, (0, 0), conditions.blur_px)
    out = cv2.LUT(out, _curves(conditions)[None])
    if conditions.dirt > 0:
        out = _smudge(out, conditions.dirt, conditions.seed)
    if conditions.noise > 0:
        out = _add_noise(out, conditions.noise * (1 + 0.7 * conditions.night), conditions.seed)
    if conditions.jpeg:
        _, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, conditions.jpeg])
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    if conditions.fov_rad < 2 * math.pi - 1e-6:
        keep = round(image.shape[1] * conditions.fov_rad / (2 * math.pi))
        side = (image.shape[1] - keep) // 2
        out[:, :side] = 0
        out[:, image.shape[1] - side :] = 0
    return np.asarray(out)
