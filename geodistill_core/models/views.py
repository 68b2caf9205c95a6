# SPDX-License-Identifier: Apache-2.0
"""Ground images as the published networks read them: a level panorama, or a level forward-looking pinhole image."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.ground_plane import (
    camera_in_level,
    directions,
    pixels_of_directions,
    sample,
)
from geodistill_core.geometry.resize import Resize, resize
from geodistill_core.models.base import GroundInput
from geodistill_core.types import Array, GroundImage, forward_optical_mount

_LEVEL_TOLERANCE_RAD = math.radians(0.05)


def _is_rotated(R: Array) -> bool:
    return bool(np.arccos(np.clip((np.trace(R) - 1) / 2, -1, 1)) > _LEVEL_TOLERANCE_RAD)


def _ground_input(
    rgb: Array, visible: Array, image: GroundImage, intrinsics: torch.Tensor | None = None
) -> GroundInput:
    pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).unsqueeze(0).float() / 255.0
    mount = torch.from_numpy(camera_in_level(image)[1]).float().unsqueeze(0)
    return GroundInput(pixels, torch.from_numpy(visible.astype(np.float32)).unsqueeze(0), mount, intrinsics)


def panorama_view(image: GroundImage, height: int, width: int, how: Resize = "pil") -> GroundInput:
    """Any ground image as a gravity-aligned 360-degree panorama around the heading, black where nothing was seen."""
    R_level_camera, _ = camera_in_level(image)
    if image.camera is None and not _is_rotated(R_level_camera):
        return _ground_input(resize(image.rgb, height, width, how), np.ones((height, width)), image)
    rows, columns = (height, width) if image.camera is None else (2 * height, 2 * width)
    azimuth = ((np.arange(columns) + 0.5) / columns - 0.5) * 2 * math.pi
    depression = ((np.arange(rows) + 0.5) / rows - 0.5) * math.pi
    rays = directions(azimuth[None, :], depression[:, None])
    column, row, seen = pixels_of_directions(image, rays @ R_level_camera)
    rgb = sample(image, column, row) * seen[..., None].astype(np.uint8)
    return _ground_input(resize(rgb, height, width, how), _reduced(seen, height, width), image)


def pinhole_view(image: GroundImage, height: int, width: int, how: Resize = "pil") -> GroundInput:
    """A pinhole image resized to height x width, made level, undistorted and forward-looking where it is not.

    Raises:
        ConfigError: the image is a panorama.
    """
    if image.camera is None:
        raise ConfigError(
            "this network reads pinhole images, the image is a panorama; use a network for panoramas, "
            "or give the image with its camera model"
        )
    across, down = width / image.camera.width, height / image.camera.height
    K = np.diag([across, down, 1.0]) @ image.camera.K
    R_level_camera, _ = camera_in_level(image)
    R_level_view = forward_optical_mount(1.0)[:3, :3]
    R_camera_view = R_level_camera.T @ R_level_view
    intrinsics = torch.from_numpy(K).float().unsqueeze(0)
    if not image.camera.distortion and not _is_rotated(R_camera_view):
        return _ground_input(resize(image.rgb, height, width, how), np.ones((height, width)), image, intrinsics)
    u, v = np.meshgrid(np.arange(image.camera.width), np.arange(image.camera.height))
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(image.camera.K).T
    column, row, seen = pixels_of_directions(image, rays @ R_camera_view.T)
    rgb = sample(image, column, row) * seen[..., None].astype(np.uint8)
    return _ground_input(resize(rgb, height, width, how), _reduced(seen, height, width), image, intrinsics)


def _reduced(seen: Array, height: int, width: int) -> Array:
    return np.asarray(cv2.resize(seen.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA))
