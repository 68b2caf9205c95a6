# SPDX-License-Identifier: Apache-2.0
"""A KITTI frame in this project's nouns, at the resolution of its files, for any network.

The base is the ground point below the camera, as the published labels have it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodistill_core.datasets.files import read_rgb
from geodistill_core.datasets.heatmap_targets import kitti_offset_px
from geodistill_core.datasets.kitti.frames import Displacement, KittiFrame
from geodistill_core.datasets.kitti.pairs import (
    CAMERA_FORWARD_M,
    CAMERA_RIGHT_M,
    METRES_PER_PIXEL,
    SATELLITE_PX,
    SHIFT_RANGE_M,
    align,
    camera_px,
    center_crop,
    displace,
)
from geodistill_core.datasets.kitti.records import read_camera_matrix, read_oxts
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.raster import RasterSource
from geodistill_core.types import (
    Array,
    CameraModel,
    GeoPoint,
    GroundImage,
    MapTile,
    forward_optical_mount,
)

CAMERA_HEIGHT_M = 1.65


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """A tile, and the base on it: metres right and up of its centre, heading counter-clockwise from its right."""

    tile: MapTile
    right_m: float
    up_m: float
    heading_rad: float


def read_satellite(frame: KittiFrame) -> Array:
    """The north-up satellite image [1280, 1280, 3] uint8 RGB.

    Raises:
        DatasetError: the picture is missing, broken or of another size.
    """
    rgb = read_rgb(frame.satellite)
    if rgb.shape[:2] != (SATELLITE_PX, SATELLITE_PX):
        raise DatasetError(
            f"{frame.satellite} is {rgb.shape[1]} x {rgb.shape[0]} pixels, not {SATELLITE_PX} x {SATELLITE_PX}; use "
            "the satellite images that are published for cross-view localization on KITTI"
        )
    return rgb


def camera_truth(frame: KittiFrame) -> Truth:
    """Where the camera was and where it looked: the inertial unit's record, moved by the published lever arm.

    Raises:
        DatasetError: the record is missing or malformed.
    """
    imu = read_oxts(frame.oxts)
    point = LocalFrame(imu.point).point(*_turned(CAMERA_FORWARD_M, -CAMERA_RIGHT_M, imu.yaw_enu_rad))
    return Truth(point.latitude, point.longitude, imu.yaw_enu_rad)


def aligned_tile(frame: KittiFrame, displacement: Displacement, rotation_range_deg: float, side_px: int) -> PlacedTile:
    """The published tile, `side_px` wide: its right is the heading, displaced, then turned; its up is not north.

    Within such a tile "east" means right and "north" means up, so that any network may read it.

    Raises:
        DatasetError: a file of the frame is missing or malformed.
    """
    aligned = align(read_satellite(frame), read_oxts(frame.oxts).yaw_enu_rad)
    rgb = np.ascontiguousarray(center_crop(displace(aligned, displacement, rotation_range_deg), side_px))
    turn_rad = math.radians(displacement.turn * rotation_range_deg)
    south_px, east_px = kitti_offset_px(*camera_px(displacement), turn_rad)
    key = f"kitti/aligned/{frame.name}/{displacement}/{rotation_range_deg:g}/{side_px}"
    tile = MapTile(rgb, np.ones(rgb.shape[:2], np.bool_), displaced_center(frame, displacement), METRES_PER_PIXEL, key)
    return PlacedTile(tile, east_px * METRES_PER_PIXEL, -south_px * METRES_PER_PIXEL, turn_rad)


def north_up_tile(
    frame: KittiFrame, displacement: Displacement, extent_m: float, metres_per_pixel: float = METRES_PER_PIXEL
) -> PlacedTile:
    """The north-up tile whose centre is displaced as the aligned one's is; `displacement.turn` plays no part.

    Raises:
        DatasetError: a file of the frame is missing or malformed.
    """
    source = RasterSource(read_satellite(frame), read_oxts(frame.oxts).point, METRES_PER_PIXEL)
    truth, center = camera_truth(frame), displaced_center(frame, displacement)
    east_m, north_m = LocalFrame(center).to_enu(truth.latitude, truth.longitude)
    tile = source.tile(center, extent_m, metres_per_pixel)
    return PlacedTile(tile, east_m, north_m, truth.yaw_enu_rad)


def ground_image(frame: KittiFrame, height_m: float = CAMERA_HEIGHT_M) -> GroundImage:
    """The rectified image of the left colour camera, level and forward-looking above the base.

    Raises:
        DatasetError: the image or the calibration is missing or malformed.
    """
    rgb = read_rgb(frame.ground)
    camera = CameraModel(rgb.shape[1], rgb.shape[0], read_camera_matrix(frame.calibration))
    return GroundImage.pinhole(rgb, camera, forward_optical_mount(height_m))


def displaced_center(frame: KittiFrame, displacement: Displacement) -> GeoPoint:
    """The centre of the displaced satellite image: where the vehicle would be taken to be.

    Raises:
        DatasetError: the record is missing or malformed.
    """
    truth = camera_truth(frame)
    right_m, up_m = displacement.right * SHIFT_RANGE_M, displacement.up * SHIFT_RANGE_M
    return LocalFrame(truth.point).point(*_turned(-right_m, -up_m, truth.yaw_enu_rad))


def _turned(forward_m: float, left_m: float, yaw_enu_rad: float) -> tuple[float, float]:
    """Metres along and to the left of a heading, as metres east and north."""
    c, s = math.cos(yaw_enu_rad), math.sin(yaw_enu_rad)
    return c * forward_m - s * left_m, s * forward_m + c * left_m
