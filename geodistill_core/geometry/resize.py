# SPDX-License-Identifier: Apache-2.0
"""Resizing as the published loaders do it: every network was trained on one of two habits and notices the other."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from PIL import Image

from geodistill_core.types import Array

Resize = Literal["pil", "opencv"]


def resize(rgb: Array, height: int, width: int, how: Resize) -> Array:
    """Bilinear, as Pillow does it (area-aware) or as OpenCV does it (point-sampled): each network has its own habit."""
    if how == "pil":
        return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR))
