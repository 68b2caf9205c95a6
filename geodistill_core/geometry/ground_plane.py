# SPDX-License-Identifier: Apache-2.0
"""Directions and ground points to pixels, for panoramas and pinhole cameras with any attitude, height and distortion.

The *level frame* stands on the ground below the vehicle: x along the heading, y left, z up against gravity. The
base's attitude is REP-103: R_level_base = Ry(pitch) Rx(roll).
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from geodistill_core.types import Array, GroundImage

MAX_OFF_AXIS_RAD = math.radians(85.0)


def attitude_matrix(roll_rad: float, pitch_rad: float) -> Array:
    """R_level_base (3x3) of a base that is rolled and pitched (REP-103: roll right side down, pitch nose down)."""
    cr, sr, cp, sp = math.cos(roll_rad), math.sin(roll_rad), math.cos(pitch_rad), math.sin(pitch_rad)
    return np.array([[cp, sp * sr, sp * cr], [0.0, cr, -sr], [-sp, cp * sr, cp * cr]])


def camera_in_level(image: GroundImage) -> tuple[Array, Array]:
    """The camera's rotation R_level_camera (3x3) and its position (3) in the level frame, in metres."""
    R_level_base = attitude_matrix(image.roll_rad, image.pitch_rad)
    return R_level_base @ image.T_base_camera[:3, :3], R_level_base @ image.T_base_camera[:3, 3]


def directions(azimuth_rad: Array, depression_rad: Array) -> Array:
    """Unit vectors [..., 3] in the level frame; azimuth clockwise from the heading, depression below the horizon."""
    flat = np.cos(depression_rad)
    return np.stack(
        np.broadcast_arrays(flat * np.cos(azimuth_rad), -flat * np.sin(azimuth_rad), -np.sin(depression_rad)),
        axis=-1,
    )


def panorama_pixels(d_camera: Array, width: int, height: int) -> tuple[Array, Array]:
    """Sensor-frame directions [..., 3] to edge coordinates (column, row) of an equirectangular panorama."""
    x, y, z = (np.ascontiguousarray(d_camera[..., axis]) for axis in range(3))
    azimuth = np.arctan2(-y, x)
    depression = np.arctan2(-z, np.sqrt(x * x + y * y))
    return width * (0.5 + azimuth / (2 * math.pi)), height * (0.5 + depression / math.pi)


def _distort(x: Array, y: Array, coefficients: tuple[float, ...]) -> tuple[Array, Array]:
    """OpenCV's plumb-bob and rational distortion of normalised image coordinates."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *([0.0] * (8 - len(coefficients))))
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def _radius_limit_sq(coefficients: tuple[float, ...]) -> float:
    """Squared normalised radius up to which the radial distortion grows monotonically (beyond it the model folds)."""
    limit = math.tan(MAX_OFF_AXIS_RAD)
    radius = np.linspace(0.0, limit, 2000)
    distorted, _ = _distort(radius, np.zeros_like(radius), coefficients)
    folds = np.flatnonzero(np.diff(distorted) <= 0)
    return float(radius[folds[0]] ** 2) if len(folds) else limit * limit


def pixels_of_directions(image: GroundImage, d_camera: Array) -> tuple[Array, Array, Array]:
    """Camera-frame directions [..., 3] to array-index coordinates (column, row) and a visibility mask.

    Index coordinates have pixel centres at integers, as cv2.remap wants them.
    """
    if image.camera is None:
        column, row = panorama_pixels(d_camera, image.rgb.shape[1], image.rgb.shape[0])
        return column - 0.5, row - 0.5, np.ones(d_camera.shape[:-1], dtype=bool)
    camera = image.camera
    z = d_camera[..., 2]
    ahead = z > 1e-6
    depth = np.where(ahead, z, 1.0)
    x, y = d_camera[..., 0] / depth, d_camera[..., 1] / depth
    ahead &= x * x + y * y < _radius_limit_sq(camera.distortion)
    if camera.distortion:
        x, y = _distort(np.where(ahead, x, 0.0), np.where(ahead, y, 0.0), camera.distortion)
    column = camera.K[0, 0] * x + camera.K[0, 1] * y + camera.K[0, 2]
    row = camera.K[1, 1] * y + camera.K[1, 2]
    inside = (column >= -0.5) & (column <= camera.width - 0.5) & (row >= -0.5) & (row <= camera.height - 0.5)
    return column, row, ahead & inside


def pixels_of_ground(image: GroundImage, forward_m: Array, left_m: Array) -> tuple[Array, Array, Array]:
    """Points on flat ground (level frame, metres) to index coordinates (column, row) and visibility."""
    R_level_camera, position = camera_in_level(image)
    points = np.stack(np.broadcast_arrays(forward_m, left_m, 0.0), axis=-1) - position
    return pixels_of_directions(image, points @ R_level_camera)


def sample(image: GroundImage, column: Array, row: Array) -> Array:
    """Bilinear look-up of index coordinates [H, W]; a panorama wraps around, a pinhole image is 0 outside."""
    border = cv2.BORDER_WRAP if image.camera is None else cv2.BORDER_CONSTANT
    clipped = np.clip(row, 0, image.rgb.shape[0] - 1) if image.camera is None else row
    return np.asarray(
        cv2.remap(
            image.rgb,
            column.astype(np.float32),
            clipped.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=border,
        )
    )


def overhead_view(
    image: GroundImage, radius_m: float, metres_per_pixel: float, yaw_enu_rad: float
) -> tuple[Array, Array]:
    """The image's flat-ground projection as a north-up picture [N, N, 3] around the base, and its visibility mask."""
    size = 2 * round(radius_m / metres_per_pixel)
    axis = (np.arange(size) + 0.5 - size / 2) * metres_per_pixel
    east, north = np.meshgrid(axis, -axis)
    c, s = math.cos(yaw_enu_rad), math.sin(yaw_enu_rad)
    column, row, visible = pixels_of_ground(image, c * east + s * north, c * north - s * east)
    return sample(image, column, row) * visible[..., None].astype(np.uint8), visible
