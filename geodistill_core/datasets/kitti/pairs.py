# SPDX-License-Identifier: Apache-2.0
"""A KITTI frame as networks read it: a satellite image whose right is the heading, displaced, and a ground image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from geodistill_core.datasets.files import read_rgb
from geodistill_core.datasets.kitti.frames import Displacement, KittiFrame
from geodistill_core.datasets.kitti.records import read_camera_matrix, read_oxts, scaled_camera_matrix
from geodistill_core.datasets.published_geodesy import published_metres_per_pixel
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.resize import resize
from geodistill_core.types import Array

METRES_PER_PIXEL = published_metres_per_pixel()
"""Of the satellite images: published code takes one latitude for all of Karlsruhe."""

SHIFT_RANGE_M = 20.0
GROUND_HEIGHT_PX, GROUND_WIDTH_PX = 256, 1024
GEODISTILL_MAP_PX, CCVPE_MAP_PX = 256, 512

SATELLITE_PX = 1280

CAMERA_FORWARD_M, CAMERA_RIGHT_M = 1.08, 0.26
"""From the inertial unit to the camera, as the published loaders take it."""


@dataclass(frozen=True, slots=True)
class KittiPair:
    """`tile` [S, S, 3] and `ground` [256, 1024, 3], uint8 RGB, with the camera matrix [3, 3] of this ground image."""

    tile: Array
    ground: Array
    intrinsics: Array


def load_pair(frame: KittiFrame, displacement: Displacement, rotation_range_deg: float, map_px: int) -> KittiPair:
    """Read a frame and crop its displaced satellite image to `map_px` pixels at its native resolution.

    GeoDistill crops 256 pixels (50 m), CCVPE 512 (100 m); the rest is common to all published loaders.

    Raises:
        DatasetError: a file of the frame is missing or malformed.
    """
    ground = read_rgb(frame.ground)
    K = read_camera_matrix(frame.calibration)
    aligned = align(read_rgb(frame.satellite), read_oxts(frame.oxts).yaw_enu_rad)
    return KittiPair(
        center_crop(displace(aligned, displacement, rotation_range_deg), map_px),
        resize(ground, GROUND_HEIGHT_PX, GROUND_WIDTH_PX, "pil"),
        scaled_camera_matrix(K, (ground.shape[0], ground.shape[1]), (GROUND_HEIGHT_PX, GROUND_WIDTH_PX)),
    )


def align(satellite: Array, yaw_enu_rad: float) -> Array:
    """Turn a north-up image [H, W, 3] so that the heading points right, then centre it on the camera."""
    # Pillow's rotation picks the nearest pixel unless told otherwise, and the published loaders do not tell it.
    turned = np.asarray(Image.fromarray(satellite).rotate(-math.degrees(yaw_enu_rad)))
    return _shifted(turned, CAMERA_FORWARD_M / METRES_PER_PIXEL, CAMERA_RIGHT_M / METRES_PER_PIXEL)


def displace(aligned: Array, displacement: Displacement, rotation_range_deg: float) -> Array:
    """Move the camera from the centre of an aligned image to where `displacement` says, then turn the image."""
    right, up = camera_px(displacement)
    shifted = _shifted(aligned, -right, up)
    return np.array(Image.fromarray(shifted).rotate(displacement.turn * rotation_range_deg))


def center_crop(rgb: Array, side_px: int) -> Array:
    """The central square; halves round to even.

    Raises:
        DatasetError: the image is smaller than that.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < side_px:
        raise DatasetError(f"a satellite image of {width} x {height} pixels is smaller than the crop of {side_px}")
    top, left = round((height - side_px) / 2), round((width - side_px) / 2)
    return rgb[top : top + side_px, left : left + side_px]


def camera_px(displacement: Displacement) -> tuple[float, float]:
    """Where the camera lies on a displaced image before it is turned: (right, up) of the centre in pixels.

    `heatmap_targets.kitti_offset_px` tells where the turn takes it.
    """
    reach_px = SHIFT_RANGE_M / METRES_PER_PIXEL
    return displacement.right * reach_px, displacement.up * reach_px


def ccvpe_angle_deg(displacement: Displacement, rotation_range_deg: float) -> float:
    """CCVPE's heading angle of a displaced frame, for rotations up to 180 degrees in [0, 360).

    90 where the heading points right, and the less the further the image was turned to the left.
    """
    angle_deg = 90.0 - displacement.turn * rotation_range_deg
    return angle_deg + 360.0 if angle_deg < 0.0 else angle_deg


def _shifted(rgb: Array, columns: float, rows: float) -> Array:
    """What lay `columns` right and `rows` below a pixel comes to lie on it; bilinear, black from outside."""
    image = Image.fromarray(rgb)
    affine = (1.0, 0.0, columns, 0.0, 1.0, rows)
    moved = image.transform(image.size, Image.Transform.AFFINE, affine, resample=Image.Resampling.BILINEAR)
    return np.array(moved)
