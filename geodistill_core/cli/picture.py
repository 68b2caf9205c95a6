# SPDX-License-Identifier: Apache-2.0
"""Pictures and calibrations from files, checked before anything is decoded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import cv2
import numpy as np
import yaml
from pydantic import BaseModel, Field, ValidationError

from geodistill_core.bags.images import decode_compressed
from geodistill_core.camera import stated_height
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.types import Array, CameraModel, GroundImage, forward_optical_mount, level_mount

MAX_FILE_BYTES = 256 << 20
PANORAMA_ASPECT_TOLERANCE = 0.02


class _Matrix(BaseModel):
    data: tuple[float, ...]


class _Calibration(BaseModel):
    """The file that ROS's camera_calibration writes; rectification and projection are not needed."""

    image_width: int = Field(ge=16, le=8192)
    image_height: int = Field(ge=16, le=8192)
    camera_matrix: _Matrix
    distortion_model: Literal["plumb_bob", "rational_polynomial"] = "plumb_bob"
    distortion_coefficients: _Matrix = _Matrix(data=())


def read_camera(path: Path) -> CameraModel:
    """A pinhole camera from a calibration file; raises DatasetError or ConfigError for what is wrong."""
    text = _read(path, "calibration").decode("utf-8", errors="replace")
    try:
        held = _Calibration.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise DatasetError(
            f"{path} is not a camera calibration (YAML with image_width, image_height, camera_matrix, "
            f"distortion_model plumb_bob or rational_polynomial): {error}"
        ) from error
    if len(held.camera_matrix.data) != 9:
        raise ConfigError(f"{path}: camera_matrix holds {len(held.camera_matrix.data)} numbers; it must be 9")
    K = np.array(held.camera_matrix.data).reshape(3, 3)
    return CameraModel(held.image_width, held.image_height, K, held.distortion_coefficients.data)


def read_ground_image(
    path: Path,
    camera: Path | None,
    height_m: float | None,
    sigma_height_m: float | None,
    roll_rad: float,
    pitch_rad: float,
) -> GroundImage:
    """A panorama, or with a calibration a forward-looking pinhole image; without a height that is guessed."""
    rgb = read_picture(path)
    height_m, sigma_height_m = stated_height(height_m, sigma_height_m)
    if camera is not None:
        mount = forward_optical_mount(height_m)
        return GroundImage(rgb, 0, mount, read_camera(camera), roll_rad, pitch_rad, sigma_height_m)
    height, width = rgb.shape[:2]
    if abs(width / height - 2.0) > PANORAMA_ASPECT_TOLERANCE:
        raise DatasetError(
            f"{path} is {width} x {height}; a panorama must be 2:1. Give --camera for a perspective picture"
        )
    return GroundImage(rgb, 0, level_mount(height_m), None, roll_rad, pitch_rad, sigma_height_m)


def read_picture(path: Path) -> Array:
    """A PNG or JPEG as H x W x 3 uint8 RGB; raises DatasetError for what is missing, truncated or blank."""
    data = np.frombuffer(_read(path, "picture"), np.uint8)
    try:
        return decode_compressed(SimpleNamespace(data=data, format=""))
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def write_png(path: Path, rgb: Array) -> None:
    """Write an RGB picture as PNG, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def _read(path: Path, what: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DatasetError(f"{path} has {size} bytes, more than {MAX_FILE_BYTES}; it is no {what}")
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{what} {path} cannot be read: {error.strerror or error}") from error
