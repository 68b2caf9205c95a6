# SPDX-License-Identifier: Apache-2.0
"""Photometric variety: what differs between two pictures of the same road, and never its geometry.

Strong on purpose. What a tone curve, a blur, a texture or a blob can change is not what tells one road from another,
and a network that relied on it would know its renderer, not the world.
"""

from __future__ import annotations

import cv2
import numpy as np

from geodistill_core.types import Array


def _tone_curve(rng: np.random.Generator) -> Array:
    """Three look-up tables [256, 3]: gamma, gain and offset, mostly shared and partly per channel."""
    x = np.linspace(0.0, 1.0, 256)[:, None]
    gamma = np.exp(rng.normal(0, 0.3) + rng.normal(0, 0.08, 3))
    gain = np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.1, 3))
    offset = rng.normal(0, 0.08) + rng.normal(0, 0.02, 3)
    return np.clip((x**gamma * gain + offset) * 255, 0, 255).astype(np.uint8)


def _texture(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Grain [H, W, 1] of a random scale around 1, as of asphalt, sensors or old imagery."""
    height, width = shape[:2]
    coarse = int(rng.integers(1, 9))
    grain = rng.normal(0, 1, (height // coarse + 1, width // coarse + 1)).astype(np.float32)
    field = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 + np.float32(rng.uniform(0.02, 0.12)) * field[..., None])


def _blobs(x: Array, rng: np.random.Generator) -> Array:
    """Smooth patches of one colour, as of cars, trees and puddles."""
    height, width = x.shape[:2]
    for _ in range(rng.integers(1, 7)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(2, max(3, width // 12))), int(rng.integers(2, max(3, height // 12))))
        colour = tuple(float(v) for v in rng.uniform(10, 245) + rng.normal(0, 25, 3))
        cv2.ellipse(x, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return x


def _resolution(x: Array, rng: np.random.Generator) -> Array:
    """Blurred, smeared along a row or column, or seen through a coarser sensor."""
    draw = rng.random()
    if draw < 0.35:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.3, 1.6)))
    if draw < 0.5:
        length = int(rng.integers(2, 6))
        return np.asarray(cv2.blur(x, (length, 1) if rng.random() < 0.5 else (1, length)))
    if draw < 0.65:
        height, width = x.shape[:2]
        share = rng.uniform(0.45, 0.95)
        small = cv2.resize(x, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    if draw < 0.8:
        return np.asarray(x + np.float32(rng.uniform(0.3, 1.2)) * (x - cv2.GaussianBlur(x, (0, 0), 1.5)))
    return x


def _colour(x: Array, rng: np.random.Generator) -> Array:
    """More or less saturated, or with its channels exchanged."""
    if rng.random() < 0.75:
        grey = x.mean(axis=2, keepdims=True)
        x = grey + (x - grey) * np.float32(rng.choice([0.0, rng.uniform(0.0, 1.6)], p=[0.15, 0.85]))
    return x[..., rng.permutation(3)] if rng.random() < 0.15 else x


def _jpeg(x: Array, rng: np.random.Generator) -> Array:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", x, quality)[1], cv2.IMREAD_COLOR))


def photometric(rgb: Array, rng: np.random.Generator) -> Array:
    """Random tone, colour, texture, shading, blobs, sharpness, noise and compression of an H x W x 3 uint8 image."""
    x: Array = cv2.LUT(np.ascontiguousarray(rgb), _tone_curve(rng).reshape(1, 256, 3)).astype(np.float32)
    x = _colour(x, rng)
    if rng.random() < 0.4:
        x = x * _texture(x.shape, rng)
    if rng.random() < 0.5:
        coarse = rng.normal(1.0, 0.22, (int(rng.integers(2, 6)), int(rng.integers(2, 6)))).astype(np.float32)
        x = x * cv2.resize(coarse, x.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    if rng.random() < 0.3:
        x = _blobs(np.ascontiguousarray(x), rng)
    x = _resolution(np.ascontiguousarray(x), rng)
    if rng.random() < 0.5:
        x = x + rng.normal(0, rng.uniform(1, 10), x.shape).astype(np.float32)
    out = np.ascontiguousarray(np.clip(x, 0, 255).astype(np.uint8))
    return _jpeg(out, rng) if rng.random() < 0.2 else out
