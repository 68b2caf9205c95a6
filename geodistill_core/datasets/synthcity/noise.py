# SPDX-License-Identifier: Apache-2.0
"""Tileable noise textures, the same in every process."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from geodistill_core.types import Array

SIDE = 1024
_BLURS_PX = (0.6, 3.0, 14.0, 60.0)


@lru_cache(maxsize=1)
def textures() -> Array:
    """Four octaves of noise, uint8 [4, 1024, 1024], mean 128 and deviation 40: pixel-fine to very coarse."""
    rng = np.random.default_rng(20260101)
    out = np.empty((len(_BLURS_PX), SIDE, SIDE), np.uint8)
    for k, blur in enumerate(_BLURS_PX):
        white = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
        pad = int(4 * blur) + 1
        smooth = cv2.GaussianBlur(np.pad(white, pad, mode="wrap"), (0, 0), blur)[pad:-pad, pad:-pad]
        out[k] = np.clip(np.round(128 + 40 * (smooth - smooth.mean()) / smooth.std()), 0, 255)
    return out
