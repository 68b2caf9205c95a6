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
R_BODY_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Body-like camera axes (x forward, z up) to the optical frame's (z forward, x right, y down)."""


def stated_height(height_m: float | None, sigma_height_m: float | None) -> tuple[float, float]:
    """A camera's height and its sigma: a stated height is exact unless told otherwise, an unstated one a guess."""
    if height_m is None:
        return DEFAULT_CAMERA_HEIGHT_M, DEFAULT_SIGMA_HEIGHT_M if sigma_height_m is None else sigma_height_m
    return height_m, 0.0 if sigma_height_m is None else sigma_height_m


def check_mount(T_base_camera: NDArray[Any]) -> None:
    """Raises ConfigError for what is no 4x4 transform, or puts the camera outside 0.2..10 m above the ground."""
    T = T_base_camera
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise ConfigError(f"T_base_camera {T.tolist()} is not a finite 4x4 transform")
    if not 0.2 <= T[2, 3] <= 10.0:
        raise ConfigError(f"camera height {T[2, 3]:.2f} m is outside 0.2..10 m; check T_base_camera's z")


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


@dataclass(frozen=True, slots=True)
class BodyMount:
    """Where a camera sits and which way it looks, in the base frame (x forward, y left, z up, origin on the ground).

    Metres and radians, Rz(yaw) Ry(pitch) Rx(roll): positive pitch looks down, a yaw of pi looks back.
    """

    x_m: float
    y_m: float
    z_m: float
    roll_rad: float = 0.0
    pitch_rad: float = 0.0
    yaw_rad: float = 0.0

    @staticmethod
    def of(T_base_camera: NDArray[Any], *, optical: bool) -> BodyMount:
        """The inverse of `matrix`; angles in [-pi, pi], pitch in [-pi/2, pi/2]."""
        R = T_base_camera[:3, :3] @ R_BODY_OPTICAL.T if optical else T_base_camera[:3, :3]
        x, y, z = (float(value) for value in T_base_camera[:3, 3])
        pitch = math.asin(max(-1.0, min(1.0, -float(R[2, 0]))))
        return BodyMount(x, y, z, math.atan2(R[2, 1], R[2, 2]), pitch, math.atan2(R[1, 0], R[0, 0]))

    def matrix(self, *, optical: bool) -> NDArray[Any]:
        """`T_base_camera` (4x4): of a pinhole's optical frame, or of a panorama's body-like one."""
        T = np.eye(4)
        T[:3, :3] = rotation(self.roll_rad, self.pitch_rad, self.yaw_rad)
        if optical:
            T[:3, :3] = T[:3, :3] @ R_BODY_OPTICAL
        T[:3, 3] = self.x_m, self.y_m, self.z_m
        return T


def rotation(roll_rad: float, pitch_rad: float, yaw_rad: float) -> NDArray[Any]:
    """Rz(yaw) Ry(pitch) Rx(roll), 3x3."""
    cr, sr = math.cos(roll_rad), math.sin(roll_rad)
    cp, sp = math.cos(pitch_rad), math.sin(pitch_rad)
    cy, sy = math.cos(yaw_rad), math.sin(yaw_rad)
    Rx = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    Ry = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    Rz = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(Rz @ Ry @ Rx)


def forward_optical_mount(height_m: float, pitch_down_rad: float = 0.0) -> NDArray[Any]:
    """`T_base_camera` (4x4) of a forward-looking optical frame (z forward, x right, y down) above the base."""
    return BodyMount(0.0, 0.0, height_m, pitch_rad=pitch_down_rad).matrix(optical=True)
