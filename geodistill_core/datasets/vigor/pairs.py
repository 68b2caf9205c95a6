# SPDX-License-Identifier: Apache-2.0
"""A VIGOR sample as networks read it: a 512-pixel tile and a 640 x 320 panorama that may have been turned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geodistill_core.datasets.files import read_rgb
from geodistill_core.datasets.vigor.labels import TILE_PX, VigorSample
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.resize import Resize, resize
from geodistill_core.types import Array

MAP_PX = 512
PANORAMA_HEIGHT_PX, PANORAMA_WIDTH_PX = 320, 640


@dataclass(frozen=True, slots=True)
class Loading:
    """A published loader's habits: how it resizes, and how it makes a turn into whole panorama columns."""

    resize: Resize
    whole_columns: Callable[[float], int]


GEODISTILL = Loading("opencv", math.trunc)
ANTIALIASED = Loading("pil", round)
"""CCVPE, G2SWeakly, GGCVT and the adaptation paper."""


@dataclass(frozen=True, slots=True)
class VigorPair:
    """`tile` [512, 512, 3] and `panorama` [320, 640, 3], uint8 RGB; ground metres per pixel of this tile."""

    tile: Array
    panorama: Array
    metres_per_pixel: float


def load_pair(sample: VigorSample, loading: Loading, turn: float = 0.0, group: int = 0) -> VigorPair:
    """Read and resize a sample's panorama and one of its tiles (group 0 is the positive), and turn the panorama.

    `turn` is a share of a full turn, positive counter-clockwise: see `turn_panorama`.

    Raises:
        DatasetError: a picture is missing or broken, or the tile is not 640 pixels square.
    """
    tile = read_tile(sample, group)
    panorama = resize(read_rgb(sample.panorama), PANORAMA_HEIGHT_PX, PANORAMA_WIDTH_PX, loading.resize)
    return VigorPair(
        resize(tile, MAP_PX, MAP_PX, loading.resize),
        turn_panorama(panorama, turn, loading.whole_columns),
        sample.metres_per_pixel * TILE_PX / MAP_PX,
    )


def read_tile(sample: VigorSample, group: int = 0) -> Array:
    """A sample's tile as it lies on the disk, [640, 640, 3] uint8 RGB.

    Raises:
        DatasetError: the picture is missing, broken or not 640 pixels square.
    """
    tile = read_rgb(sample.tile(group))
    if tile.shape[:2] != (TILE_PX, TILE_PX):
        raise DatasetError(
            f"{sample.tile(group)} is {tile.shape[1]} x {tile.shape[0]} pixels, but labels count in tiles of "
            f"{TILE_PX} x {TILE_PX}; use the data set's original tiles"
        )
    return tile


def turn_panorama(panorama: Array, turn: float, whole_columns: Callable[[float], int]) -> Array:
    """The panorama [H, W, 3] that a camera sees whose heading is turned counter-clockwise by a share of a full turn.

    Content moves right by whole columns, so the turn is met to within one column (0.56 degrees of 640 columns) where
    they are truncated and to half of it where they are rounded.
    """
    return np.roll(panorama, whole_columns(turn * panorama.shape[1]), axis=1)


def turned_yaw_enu_rad(turn: float) -> float:
    """ENU yaw of a turned panorama's centre column, which looks north where `turn` is 0."""
    return wrap(math.pi / 2.0 + 2.0 * math.pi * turn)
