# SPDX-License-Identifier: Apache-2.0
"""Made-up pictures with the spectrum of photographs, which cost what photographs cost."""

from __future__ import annotations

import cv2
import numpy as np

from geodistill_core.types import Array


def natural(rng: np.random.Generator, height: int, width: int) -> Array:
    """Noise whose amplitude falls with frequency, as a photograph's does: [H, W, 3] uint8."""
    picture = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 9):
        small = rng.normal(0.0, 1.0, (max(2, height >> octave), max(2, width >> octave), 3)).astype(np.float32)
        picture += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * 2.0 ** (octave - 5)
    return np.asarray(np.clip(128.0 + 12.0 * picture, 0, 255), np.uint8)
