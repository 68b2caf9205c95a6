# SPDX-License-Identifier: Apache-2.0
"""Camera rigs: what looks at the street, from which height, through which lens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.types import (
    DEFAULT_CAMERA_HEIGHT_M,
    Array,
    CameraModel,
    forward_optical_mount,
    level_mount,
)


@dataclass(frozen=True, slots=True, eq=False)
class CameraRig:
    """A panorama (`camera` None) or pinhole camera at `height_m` above the ground; `mount_pitch_rad` looks
    down."""

    kind: str
    width: int
    height: int
    height_m: float = DEFAULT_CAMERA_HEIGHT_M
    camera: CameraModel | None = None
    mount_pitch_rad: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("panorama", "pinhole") or (self.kind == "pinhole") != (self.camera is not None):
            raise ConfigError(f"rig kind {self.kind!r} must be 'panorama' without or 'pinhole' with a camera model")
        if self.camera is not None and (self.camera.width, self.camera.height) != (self.width, self.height):
            raise ConfigError(f"rig is {self.width} x {self.height} but its camera model is not; make them agree")

    @property
    def mount(self) -> Array:
        """`T_base_camera` at the nominal height."""
        if self.camera is None:
            return level_mount(self.height_m)
        return forward_optical_mount(self.height_m, self.mount_pitch_rad)


def pinhole_rig(
    width: int = 960,
    height: int = 540,
    fov_deg: float = 90.0,
    distortion: tuple[float, ...] = (-0.12, 0.02, 0.0, 0.0, 0.0),
    height_m: float = 1.65,
    mount_pitch_rad: float = math.radians(3.0),
) -> CameraRig:
    """A forward-looking camera with horizontal field of view `fov_deg` (before distortion)."""
    f = width / 2 / math.tan(math.radians(fov_deg) / 2)
    K = np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]])
    return CameraRig("pinhole", width, height, height_m, CameraModel(width, height, K, distortion), mount_pitch_rad)


PANORAMA_RIG = CameraRig("panorama", 1024, 512)
SMALL_PANORAMA_RIG = CameraRig("panorama", 640, 320)
PINHOLE_RIG = pinhole_rig()


@lru_cache(maxsize=8)
def base_rays(rig: CameraRig) -> Array:
    """Unit viewing directions of every pixel in the base frame (x forward, y left, z up), float32 [H, W,
    3]."""
    if rig.camera is None:
        azimuth = ((np.arange(rig.width) + 0.5) / rig.width - 0.5) * 2 * np.pi
        elevation = (0.5 - (np.arange(rig.height) + 0.5) / rig.height) * np.pi
        level = np.cos(elevation)[:, None]
        rays = np.stack(
            [
                level * np.cos(azimuth),
                -level * np.sin(azimuth),
                np.repeat(np.sin(elevation)[:, None], rig.width, axis=1),
            ],
            axis=2,
        )
        return np.asarray(rays, dtype=np.float32)
    columns, rows = np.meshgrid(np.arange(rig.width, dtype=np.float64), np.arange(rig.height, dtype=np.float64))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)[:, None]
    distortion = np.array(rig.camera.distortion or (0.0, 0.0, 0.0, 0.0))
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-9)
    xy = cv2.undistortPoints(pixels, rig.camera.K, distortion, R=np.eye(3), P=np.eye(3), criteria=criteria)[:, 0]
    rays = np.concatenate([xy, np.ones((len(xy), 1))], axis=1) @ rig.mount[:3, :3].T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return np.asarray(rays.reshape(rig.height, rig.width, 3), dtype=np.float32)
