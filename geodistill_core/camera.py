# SPDX-License-Identifier: Apache-2.0
"""Cameras: how they project, where they are mounted, and how well the height of the mount is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodistill_core.errors import ConfigError

DEFAULT_CAMERA_HEIGHT_M = 2.0
DEFAULT_SIGMA_HEIGHT_M = 0.3
"""How uncertain `DEFAULT_CAMERA_HEIGHT_M` is where it is a guess: cars and vans carry cameras at 1.4 to 2.6 m."""
MAX_SIGMA_HEIGHT_M = 2.0


def stated_height(height_m: float | None, sigma_height_m: float | None) -> tuple[float, float]:
    """A camera's height and its sigma: a stated height is exact unless told otherwise, an unstated one a guess."""
    if height_m is None:
        return DEFAULT_CAMERA_HEIGHT_M, DEFAULT_SIGMA_HEIGHT_M if sigma_height_m is None else sigma_height_m
    return height_m, 0.0 if sigma_height_m is None else sigma_height_m


def check_sigma_height(sigma_height_m: float) -> None:
    """Raises ConfigError for a sigma outside 0..2 m."""
    if not 0.0 <= sigma_height_m <= MAX_SIGMA_HEIGHT_M:
        raise ConfigError(
            f"sigma_height_m {sigma_height_m} is outside 0..{MAX_SIGMA_HEIGHT_M:g} m; "
            "measure the camera's height, or state 0 where it is known"
        )


@dataclass(frozen=True, slots=True)
class CameraModel:
    """A pinhole camera with OpenCV's plumb-bob or rational distortion.

    `K` is 3x3 in pixels with pixel centres at integers (OpenCV's and CameraInfo's convention); `distortion`
    holds 0, 4, 5 or 8 coefficients (k1, k2, p1, p2, k3, k4, k5, k6). `sigma_height_m` is the standard deviation of the
    height at which the camera is said to be mounted; `GroundImage.pinhole` takes it over.
    """

    width: int
    height: int
    K: NDArray[Any]
    distortion: tuple[float, ...] = ()
    sigma_height_m: float = 0.0

    def __post_init__(self) -> None:
        K = np.asarray(self.K, dtype=np.float64)
        if K.shape != (3, 3) or not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
            raise ConfigError(f"camera matrix {K.tolist()} is not a finite 3x3 with positive focal lengths")
        if len(self.distortion) not in (0, 4, 5, 8) or not np.isfinite(self.distortion).all():
            raise ConfigError(f"distortion {self.distortion} must hold 0, 4, 5 or 8 finite coefficients")
        check_sigma_height(self.sigma_height_m)
        object.__setattr__(self, "K", K)


def level_mount(height_m: float) -> NDArray[Any]:
    """`T_base_camera` (4x4) of a sensor straight above the base's ground point, axes parallel to the base's."""
    T = np.eye(4)
    T[2, 3] = height_m
    return T


def forward_optical_mount(height_m: float, pitch_down_rad: float = 0.0) -> NDArray[Any]:
    """`T_base_camera` (4x4) of a forward-looking optical frame (z forward, x right, y down) above the base."""
    c, s = math.cos(pitch_down_rad), math.sin(pitch_down_rad)
    R_base_body = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    R_body_optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    T = level_mount(height_m)
    T[:3, :3] = R_base_body @ R_body_optical
    return T
