# SPDX-License-Identifier: Apache-2.0
"""A VIGOR sample in this project's nouns, at the resolution of its files, for any network."""

from __future__ import annotations

import numpy as np

from geodistill_core.datasets.files import read_rgb
from geodistill_core.datasets.vigor.labels import VigorSample
from geodistill_core.datasets.vigor.pairs import read_tile, turn_panorama
from geodistill_core.errors import DatasetError
from geodistill_core.types import DEFAULT_CAMERA_HEIGHT_M, Array, GroundImage, MapTile

_PANORAMA_ASPECT = 2
_ASPECT_TOLERANCE = 0.02


def map_tile(sample: VigorSample, group: int = 0) -> MapTile:
    """The north-up tile of a group, 640 pixels at the city's published metres per pixel.

    Raises:
        DatasetError: the picture is missing, broken or of another size.
    """
    rgb = read_tile(sample, group)
    center = sample.tile_center(group)
    key = f"vigor/{sample.city}/{sample.tile_names[group]}"
    return MapTile(rgb, np.ones(rgb.shape[:2], np.bool_), center, sample.metres_per_pixel, key)


def read_panorama(sample: VigorSample) -> Array:
    """The panorama as it lies on the disk, [H, W, 3] uint8 RGB with W = 2 H.

    Raises:
        DatasetError: the picture is missing, broken or not twice as wide as high.
    """
    rgb = read_rgb(sample.panorama)
    height, width = rgb.shape[:2]
    if abs(width / height - _PANORAMA_ASPECT) > _ASPECT_TOLERANCE:
        raise DatasetError(
            f"{sample.panorama} is {width} x {height} pixels; a panorama is twice as wide as high: use the data "
            "set's original panoramas"
        )
    return rgb


def ground_image(
    sample: VigorSample, turn: float = 0.0, height_m: float = DEFAULT_CAMERA_HEIGHT_M
) -> tuple[GroundImage, float]:
    """The panorama turned by a share of a full turn, and the share that whole columns allowed.

    `pairs.turned_yaw_enu_rad` of that share is the heading. VIGOR states no camera height; published code takes 2 m.

    Raises:
        DatasetError: the picture is missing, broken or no panorama.
    """
    rgb = read_panorama(sample)
    width = rgb.shape[1]
    turned = turn_panorama(rgb, turn, round)
    return GroundImage.panorama(turned, height_m=height_m), round(turn * width) / width
