# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: pairs side by side for human eyes."""

from __future__ import annotations

import math

import cv2
import numpy as np

from geodistill_core.datasets.synthcity.pairs import Pair, sample_pair
from geodistill_core.datasets.synthcity.rigs import PANORAMA_RIG, CameraRig
from geodistill_core.datasets.synthcity.styles import STYLES
from geodistill_core.types import Array

_CELL_PX = 320


def pair_panel(pair: Pair) -> Array:
    """Ground image beside its tile with an arrow at the truth, uint8 [320, W, 3]."""
    height, width = pair.ground.rgb.shape[:2]
    size = (round(width * _CELL_PX / height), _CELL_PX)
    ground = cv2.resize(pair.ground.rgb, size, interpolation=cv2.INTER_AREA)
    tile = cv2.resize(pair.tile.rgb, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_AREA)
    column, row = pair.tile.enu_to_pixel(np.array(-pair.offset_m[0]), np.array(-pair.offset_m[1]))
    scale, yaw = _CELL_PX / pair.tile.rgb.shape[0], pair.pose.yaw_enu_rad
    start = (round(float(column) * scale), round(float(row) * scale))
    tip = (start[0] + round(30 * math.cos(yaw)), start[1] - round(30 * math.sin(yaw)))
    cv2.arrowedLine(tile, start, tip, (255, 0, 0), 2, cv2.LINE_AA, tipLength=0.3)
    return np.hstack([ground, tile])


def contact_sheet(
    level: str, styles: tuple[str, ...] = tuple(STYLES), seed: int = 0, columns: int = 2, rig: CameraRig = PANORAMA_RIG
) -> Array:
    """One row of `columns` pairs for each style at one level, uint8 [rows, width, 3]."""
    rows = [
        np.hstack([pair_panel(sample_pair(style, seed, index, level, rig=rig)) for index in range(columns)])
        for style in styles
    ]
    return np.vstack(rows)
