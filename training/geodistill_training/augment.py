# SPDX-License-Identifier: Apache-2.0
"""Photometric variety: what differs between two pictures of the same road, and never its geometry."""

from __future__ import annotations

import cv2
import numpy as np

from geodistill_core.types import Array


def _tone_curve(rng: np.random.Generator) -> Array:
    """Three look-up tables [256, 3]: gamma, gain and offset, mostly shared and partly per channel."""
    x = np.linspace(0.0, 1.0, 256)[:, None]
    gamma = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.06, 3))
    gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3))
    offset = rng.normal(0, 0.08) + rng.normal(0, 0.02, 3)
    return np.clip((x**gamma * gain + offset) * 255, 0, 255).astype(np.uint8)


def photometric(rgb: Array, rng: np.random.Generator) -> Array:
    """Random tone curve, saturation, hue swap towards grey, blur, shading and noise of an H x W x 3 uint8 image."""
    out = cv2.LUT(np.ascontiguousarray(rgb), np.ascontiguousarray(_tone_curve(rng)[:, None, :].reshape(1, 256, 3)))
    x: Array = out.astype(np.float32)
    if rng.random() < 0.7:
        grey = x.mean(axis=2, keepdims=True)
        x = grey + (x - grey) * np.float32(rng.uniform(0.0, 1.5))
    if rng.random() < 0.15:
        x = x[..., rng.permutation(3)]
    if rng.random() < 0.4:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.4)))
    if rng.random() < 0.5:
        shade = cv2.resize(
            rng.normal(1.0, 0.2, (4, 4)).astype(np.float32), x.shape[1::-1], interpolation=cv2.INTER_CUBIC
        )
        x = x * shade[..., None]
    if rng.random() < 0.5:
        x = x + rng.normal(0, rng.uniform(1, 10), x.shape).astype(np.float32)
    return np.clip(x, 0, 255).astype(np.uint8)


def hide_sector(visible: Array, rng: np.random.Generator, smallest_deg: float = 110.0) -> Array:
    """A strip's visible share [H, W] with a random wrapping sector of azimuth hidden (the student's field of view)."""
    width = visible.shape[1]
    keep = round(rng.uniform(smallest_deg, 360.0) / 360.0 * width)
    hidden = (np.arange(width) + rng.integers(width)) % width >= keep
    return np.where(hidden[None, :], 0.0, visible).astype(np.float32)
