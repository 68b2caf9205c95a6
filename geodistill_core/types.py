# SPDX-License-Identifier: Apache-2.0
"""The nouns: every value that crosses a module boundary, frozen, with unit and frame in its name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodistill_core.camera import DEFAULT_CAMERA_HEIGHT_M as DEFAULT_CAMERA_HEIGHT_M
from geodistill_core.camera import DEFAULT_SIGMA_HEIGHT_M as DEFAULT_SIGMA_HEIGHT_M
from geodistill_core.camera import MAX_SIGMA_HEIGHT_M as MAX_SIGMA_HEIGHT_M
from geodistill_core.camera import CameraModel as CameraModel
from geodistill_core.camera import check_mount, check_sigma_height, stated_height
from geodistill_core.camera import forward_optical_mount as forward_optical_mount
from geodistill_core.camera import level_mount as level_mount
from geodistill_core.errors import ConfigError, DatasetError

Array = NDArray[Any]

MAX_IMAGE_SIDE = 8192


def _check_rgb(rgb: Array, what: str) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise DatasetError(
            f"{what} has shape {rgb.shape} and dtype {rgb.dtype}; expected H x W x 3 uint8 RGB. Convert it first."
        )
    if min(rgb.shape[:2]) < 16 or max(rgb.shape[:2]) > MAX_IMAGE_SIDE:
        raise DatasetError(
            f"{what} is {rgb.shape[1]} x {rgb.shape[0]} pixels; sides must lie in 16..{MAX_IMAGE_SIDE}. Resize it."
        )


@dataclass(frozen=True, slots=True)
class GeoPoint:
    """A WGS-84 position in degrees; longitude is normalised to [-180, 180)."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latitude) and abs(self.latitude) <= 90.0):
            raise ConfigError(f"latitude {self.latitude} is outside -90..90 degrees")
        if not (math.isfinite(self.longitude) and abs(self.longitude) <= 540.0):
            raise ConfigError(f"longitude {self.longitude} is outside -540..540 degrees")
        object.__setattr__(self, "longitude", (self.longitude + 180.0) % 360.0 - 180.0)


@dataclass(frozen=True, slots=True)
class GroundImage:
    """What the vehicle's camera saw.

    `rgb` is H x W x 3 uint8. `camera` is None for an equirectangular 360-degree panorama (centre column = the sensor's
    x axis, azimuth grows clockwise to the right, top row = zenith). `T_base_camera` (4x4) maps sensor coordinates to
    the base frame (x forward, y left, z up, origin on the ground below the vehicle); a panorama's sensor frame is
    body-like (x forward, z up), a pinhole's is optical. `roll_rad` and `pitch_rad` are the base's attitude at
    exposure (REP-103: positive roll tips right side down, positive pitch tips nose down). `sigma_height_m` is how
    uncertain the camera's height above the ground is, one standard deviation; 0 takes it for exact.
    """

    rgb: Array
    stamp_ns: int
    T_base_camera: Array
    camera: CameraModel | None = None
    roll_rad: float = 0.0
    pitch_rad: float = 0.0
    sigma_height_m: float = 0.0

    def __post_init__(self) -> None:
        _check_rgb(self.rgb, "ground image")
        check_sigma_height(self.sigma_height_m)
        T = np.asarray(self.T_base_camera, dtype=np.float64)
        check_mount(T)
        if not (abs(self.roll_rad) < 0.8 and abs(self.pitch_rad) < 0.8):
            raise ConfigError(
                f"attitude roll {self.roll_rad}, pitch {self.pitch_rad} rad is beyond +-0.8; check the IMU"
            )
        if self.camera is not None and self.rgb.shape[:2] != (self.camera.height, self.camera.width):
            raise DatasetError(
                f"image is {self.rgb.shape[1]} x {self.rgb.shape[0]} but the camera model says "
                f"{self.camera.width} x {self.camera.height}; send the CameraInfo that belongs to this image"
            )
        object.__setattr__(self, "T_base_camera", T)

    @property
    def height_m(self) -> float:
        """Camera height above the ground plane in metres."""
        return float(self.T_base_camera[2, 3])

    @staticmethod
    def panorama(
        rgb: Array,
        stamp_ns: int = 0,
        *,
        height_m: float | None = None,
        T_base_camera: Array | None = None,
        roll_rad: float = 0.0,
        pitch_rad: float = 0.0,
        sigma_height_m: float | None = None,
    ) -> GroundImage:
        """An equirectangular panorama; `T_base_camera` defaults to a level mount at `height_m`.

        A stated height counts as exact unless `sigma_height_m` says otherwise. Without one it is a guess, 2.0 m with a
        sigma of 0.3 m, which makes the match several times as expensive.
        """
        if T_base_camera is None:
            height_m, sigma_height_m = stated_height(height_m, sigma_height_m)
            T_base_camera = level_mount(height_m)
        return GroundImage(rgb, stamp_ns, T_base_camera, None, roll_rad, pitch_rad, sigma_height_m or 0.0)

    @staticmethod
    def pinhole(
        rgb: Array,
        camera: CameraModel,
        T_base_camera: Array,
        stamp_ns: int = 0,
        *,
        roll_rad: float = 0.0,
        pitch_rad: float = 0.0,
        sigma_height_m: float | None = None,
    ) -> GroundImage:
        """A perspective image; `T_base_camera` maps the optical frame (z forward, x right, y down) to the base.

        `sigma_height_m` is the camera model's unless given.
        """
        sigma_m = camera.sigma_height_m if sigma_height_m is None else sigma_height_m
        return GroundImage(rgb, stamp_ns, T_base_camera, camera, roll_rad, pitch_rad, sigma_m)


@dataclass(frozen=True, slots=True)
class Prior:
    """Where the vehicle probably is: GNSS position with isotropic sigma, and heading (ENU, counter-clockwise)."""

    latitude: float
    longitude: float
    sigma_m: float
    yaw_enu_rad: float
    sigma_yaw_rad: float

    def __post_init__(self) -> None:
        GeoPoint(self.latitude, self.longitude)
        if not 0.0 < self.sigma_m <= 1000.0:
            raise ConfigError(f"prior sigma_m {self.sigma_m} is outside (0, 1000] m")
        if not math.isfinite(self.yaw_enu_rad):
            raise ConfigError(f"prior yaw_enu_rad {self.yaw_enu_rad} is not finite")
        if not 0.0 < self.sigma_yaw_rad <= 10.0:
            raise ConfigError(f"prior sigma_yaw_rad {self.sigma_yaw_rad} is outside (0, 10] rad")

    @property
    def point(self) -> GeoPoint:
        """The position."""
        return GeoPoint(self.latitude, self.longitude)


@dataclass(frozen=True, slots=True)
class MapTile:
    """North-up overhead imagery on the tangent plane at `center`.

    `rgb` is H x W x 3 uint8, rows grow south, columns grow east, square pixels of `metres_per_pixel` ground metres;
    the centre is the edge coordinate (H/2, W/2), pixel centres sit at half-integers. `valid` (H x W bool) is False
    where the source has no imagery (rgb is 0 there). `key` identifies the content for caches. `map_sigma_m` is how far
    the imagery itself may lie from where it claims, one standard deviation per axis; 0 where nobody has said.
    `provisional` tiles may be better when asked for again: parts are missing or out of date, and on their way.
    """

    rgb: Array
    valid: Array
    center: GeoPoint
    metres_per_pixel: float
    key: str
    attribution: str = ""
    map_sigma_m: float = 0.0
    provisional: bool = False

    def __post_init__(self) -> None:
        _check_rgb(self.rgb, "map tile")
        if self.valid.shape != self.rgb.shape[:2] or self.valid.dtype != np.bool_:
            raise DatasetError(f"validity mask {self.valid.shape} {self.valid.dtype} does not fit {self.rgb.shape}")
        if not 0.005 <= self.metres_per_pixel <= 50.0:
            raise ConfigError(f"metres_per_pixel {self.metres_per_pixel} is outside 0.005..50")

    def pixel_to_enu(self, column: Array, row: Array) -> tuple[Array, Array]:
        """Edge coordinates (pixel centre = index + 0.5) to metres east and north of `center`."""
        height, width = self.valid.shape
        return (
            (np.asarray(column) - width / 2) * self.metres_per_pixel,
            (height / 2 - np.asarray(row)) * self.metres_per_pixel,
        )

    def enu_to_pixel(self, east_m: Array, north_m: Array) -> tuple[Array, Array]:
        """Metres east and north of `center` to edge coordinates (column, row)."""
        height, width = self.valid.shape
        return (
            np.asarray(east_m) / self.metres_per_pixel + width / 2,
            height / 2 - np.asarray(north_m) / self.metres_per_pixel,
        )


@lru_cache(maxsize=8)
def _axes_m(height: int, width: int, metres_per_cell: float) -> tuple[Array, Array]:
    east = (np.arange(width) + 0.5 - width / 2) * metres_per_cell
    north = (height / 2 - np.arange(height) - 0.5) * metres_per_cell
    for axis in (east, north):
        axis.flags.writeable = False
    return east, north


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Posterior over (yaw, row, column): `probability` [Y, H, W] float32, sums to one.

    Cell (y, r, c) is yaw `yaw_enu_rad[y]` (evenly spaced, ascending, unwrapped), `(c + 0.5 - W/2) * metres_per_cell`
    east and `(H/2 - r - 0.5) * metres_per_cell` north on the tangent plane at `center`.
    """

    probability: Array
    center: GeoPoint
    metres_per_cell: float
    yaw_enu_rad: Array

    @property
    def yaw_step_rad(self) -> float:
        """Spacing of the yaw hypotheses (0 for a single one)."""
        return float(self.yaw_enu_rad[1] - self.yaw_enu_rad[0]) if len(self.yaw_enu_rad) > 1 else 0.0

    def axes_m(self) -> tuple[Array, Array]:
        """Cell-centre coordinates: east [W] and north [H], float64 metres from `center`, not to be written to."""
        return _axes_m(*self.probability.shape[1:], self.metres_per_cell)

    def position(self) -> Array:
        """Marginal over position, [H, W] float64."""
        return np.asarray(self.probability.sum(axis=0, dtype=np.float64))


class Status(str, Enum):
    """How far an estimate may be trusted."""

    OK = "ok"
    AMBIGUOUS = "ambiguous"
    EDGE = "edge"
    UNINFORMATIVE = "uninformative"


@dataclass(frozen=True, slots=True)
class Mode:
    """A local maximum of the heat map: offset from its centre, yaw, and the probability mass around it."""

    east_m: float
    north_m: float
    yaw_enu_rad: float
    mass: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A 3-DoF pose with covariance (3x3 over east m, north m, yaw rad at the pose) and what it was derived from."""

    stamp_ns: int
    latitude: float
    longitude: float
    yaw_enu_rad: float
    covariance: Array
    status: Status
    modes: tuple[Mode, ...]
    heatmap: HeatMap
    tile: MapTile = field(repr=False)

    @property
    def point(self) -> GeoPoint:
        """The position."""
        return GeoPoint(self.latitude, self.longitude)
