# SPDX-License-Identifier: Apache-2.0
"""What KITTI measured beside the images: pose of the inertial unit, and the cameras' matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geodistill_core.datasets.files import read_lines
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.types import Array

_REMEDY = "copy it again from KITTI's raw data"
_YAW_FIELD = 5
_P_RECT = "P_rect_02"


def read_oxts_record(path: Path) -> Array:
    """The fields [>= 6] float64 of an inertial record: latitude, longitude, altitude, roll, pitch, yaw, then rates.

    Radians with REP-103's signs: roll tips the right side down, pitch the nose; yaw is ENU (0 = east). KITTI's
    development kit names the other fields.

    Raises:
        DatasetError: the record is missing or malformed.
    """
    number, line = read_lines(path, _REMEDY)[0]
    where = f"{path}, line {number}"
    fields = _numbers(line, where)
    if fields.size <= _YAW_FIELD:
        raise DatasetError(f"{where} has {fields.size} fields; latitude, longitude and yaw need six; {_REMEDY}")
    if not np.isfinite(fields).all():
        raise DatasetError(f"{where} holds a field that is not finite; {_REMEDY}")
    return fields


def read_oxts(path: Path) -> Truth:
    """Position of the inertial unit and heading; KITTI's yaw is ENU already (0 = east, counter-clockwise).

    Raises:
        DatasetError: the record is missing or malformed.
    """
    fields = read_oxts_record(path)
    try:
        return Truth(float(fields[0]), float(fields[1]), float(fields[_YAW_FIELD]))
    except ConfigError as error:
        raise DatasetError(f"{path}, first line: {error}; {_REMEDY}") from error


def read_camera_matrix(path: Path) -> Array:
    """K [3, 3] float64 of the rectified left colour camera, for its full image; pixel centres at integers.

    Raises:
        DatasetError: the calibration is missing or malformed.
    """
    for number, line in read_lines(path, _REMEDY):
        name, _, values = line.partition(":")
        if name.strip() == _P_RECT:
            where = f"{path}, line {number}"
            return _camera_matrix(_numbers(values, where), where)
    raise DatasetError(f"{path} holds no {_P_RECT}; give calib_cam_to_cam.txt of the drive's day")


def scaled_camera_matrix(K: Array, image_size: tuple[int, int], network_size: tuple[int, int]) -> Array:
    """K of an image resized from (height, width) to (height, width) as published code scales it.

    Whole rows of K are scaled, with no regard to pixel centres; exact geometry would move the centre by half the
    difference of the two pixels' sizes.
    """
    down, across = network_size[0] / image_size[0], network_size[1] / image_size[1]
    return np.asarray(np.diag([across, down, 1.0]) @ K)


def _numbers(text: str, where: str) -> Array:
    try:
        return np.array([float(field) for field in text.split()])
    except ValueError as error:
        raise DatasetError(f"{where} holds something that is no number ({error}); {_REMEDY}") from error


def _camera_matrix(values: Array, where: str) -> Array:
    if values.size != 12:
        raise DatasetError(f"{where} holds {values.size} numbers; a 3 x 4 projection has 12; {_REMEDY}")
    K = values.reshape(3, 4)[:, :3]
    if not (np.isfinite(K).all() and K[0, 0] > 0.0 and K[1, 1] > 0.0):
        raise DatasetError(f"{where} is no camera matrix: {K.tolist()}; {_REMEDY}")
    return K
