# SPDX-License-Identifier: Apache-2.0
"""The ground view: cast a gravity-aligned window round the camera, then look at it through the rig."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from geodistill_core.datasets.synthcity import noise
from geodistill_core.datasets.synthcity.cars import CAR_COLUMNS, place_cars
from geodistill_core.datasets.synthcity.cast import BOX_COLUMNS, CROWN_COLUMNS, POST_COLUMNS, cast
from geodistill_core.datasets.synthcity.city import City
from geodistill_core.datasets.synthcity.conditions import Conditions
from geodistill_core.datasets.synthcity.kernel import kernel
from geodistill_core.datasets.synthcity.photometry import develop
from geodistill_core.datasets.synthcity.rigs import CameraRig, base_rays
from geodistill_core.datasets.synthcity.shadows import cast_shadows
from geodistill_core.types import Array

_SHADOW_SIDE_M = 120.0
_SIGHT_M = 170.0
# Lobes of a crown: sideways reach, lift, radius and half height as fractions of the crown's, brightness
_LOBES = ((0.05, 0.1, 0.85, 0.9, 1.0), (0.42, -0.25, 0.6, 0.62, 0.95), (0.4, -0.05, 0.62, 0.6, 1.05))


@dataclass(frozen=True, slots=True)
class GroundPose:
    """The base's true pose on a city's plane: metres east and north, ENU yaw, REP-103 roll and pitch; the
    camera sits `height_m` above the base along the base's z axis."""

    east_m: float
    north_m: float
    yaw_enu_rad: float
    roll_rad: float = 0.0
    pitch_rad: float = 0.0
    height_m: float = 2.0

    def rotation(self) -> Array:
        """Base to gravity-aligned frame with the vehicle's heading: Ry(pitch) Rx(roll)."""
        cr, sr = math.cos(self.roll_rad), math.sin(self.roll_rad)
        cp, sp = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        return np.array([[cp, sp * sr, sp * cr], [0.0, cr, -sr], [-sp, cp * sr, cp * cr]])

    def camera(self) -> Array:
        """The camera's position, metres east, north and up."""
        lever = self.rotation() @ np.array([0.0, 0.0, self.height_m])
        c, s = math.cos(self.yaw_enu_rad), math.sin(self.yaw_enu_rad)
        return np.array(
            [self.east_m + c * lever[0] - s * lever[1], self.north_m + s * lever[0] + c * lever[1], lever[2]]
        )


def _sector(table: Array, radius: Array, margin_rad: float = 0.002) -> tuple[Array, Array]:
    """Where things of a given radius lie, seen from the origin: [N, 3] unit direction (east, north) and cosine of the
    half angle (-2 all round); and their distances."""
    distance = np.hypot(table[:, 0], table[:, 1])
    far = np.maximum(distance, 1e-6)
    half = np.arcsin(np.clip(radius / far, 0.0, 1.0)) + margin_rad
    cosine = np.where(distance <= radius * 1.02, -2.0, np.cos(half) - 1e-12)
    return np.stack([table[:, 0] / far, table[:, 1] / far, cosine], axis=1), distance


def _boxes(buildings: Array, cars: Array, camera: Array) -> Array:
    near = buildings[np.hypot(buildings[:, 0] - camera[0], buildings[:, 1] - camera[1]) < _SIGHT_M]
    n, m = len(near), len(cars)
    out = np.zeros((n + 2 * m, BOX_COLUMNS))
    for first, rows in ((0, near), (n, cars), (n + m, cars)):
        part = out[first : first + len(rows)]
        part[:, :2] = rows[:, :2] - camera[:2]
        part[:, 2], part[:, 3] = np.cos(rows[:, 2]), np.sin(rows[:, 2])
        part[:, 4:6] = rows[:, 3:5]
    out[:n, 7], out[:n, 8:14], out[:n, 15], out[:n, 16] = near[:, 5], near[:, 6:12], near[:, 12], near[:, 13]
    body, cabin = out[n : n + m], out[n + m :]
    body[:, 7], body[:, 8:11], body[:, 11:14], body[:, 14] = 0.56 * cars[:, 5], cars[:, 6:9], cars[:, 6:9], 1.0
    cabin[:, 6], cabin[:, 7], cabin[:, 14] = 0.56 * cars[:, 5], cars[:, 5], 2.0
    cabin[:, 8:11], cabin[:, 11:14] = cars[:, 6:9], cars[:, 6:9]
    cabin[:, :2] -= 0.1 * cabin[:, 4:5] * cabin[:, 2:4]
    cabin[:, 4] *= 0.6
    cabin[:, 5] *= 0.9
    out[:, 17:20], distance = _sector(out, np.hypot(out[:, 4], out[:, 5]))
    return np.asarray(out[np.argsort(distance)])


def _crowns(trees: Array, camera: Array, foliage: tuple[float, float, float]) -> Array:
    """Three overlapping lobes for each tree, nearest first."""
    near = trees[np.hypot(trees[:, 0] - camera[0], trees[:, 1] - camera[1]) < 110.0]
    n, tone = len(near), near[:, 5]
    base = np.stack([88 + 30 * tone, 108 + 18 * tone, 58 + 12 * tone], axis=1) * np.array(foliage)
    middle, half = (near[:, 3] + near[:, 4]) / 2, (near[:, 4] - near[:, 3]) / 2
    out = np.zeros((3 * n, CROWN_COLUMNS))
    for k, (reach, lift, wide, tall, shade) in enumerate(_LOBES):
        part, angle = out[k * n : (k + 1) * n], 2 * math.pi * ((tone * 17.0 + 0.45 * k) % 1.0)
        part[:, 0] = near[:, 0] - camera[0] + reach * near[:, 2] * np.cos(angle)
        part[:, 1] = near[:, 1] - camera[1] + reach * near[:, 2] * np.sin(angle)
        part[:, 2], part[:, 3], part[:, 4] = middle + lift * half, wide * near[:, 2], tall * half
        part[:, 5:8], part[:, 8] = base * shade, (tone + 0.37 * k) % 1.0
    out[:, 9:12], distance = _sector(out, out[:, 3])
    return np.asarray(out[np.argsort(distance)])


def _posts(city: City, camera: Array) -> Array:
    def near(table: Array, reach: float) -> Array:
        return np.asarray(table[np.hypot(table[:, 0] - camera[0], table[:, 1] - camera[1]) < reach])

    poles, trees = near(city.poles, 70.0), near(city.trees, 70.0)
    out = np.zeros((len(poles) + len(trees), POST_COLUMNS))
    out[: len(poles), :4], out[: len(poles), 4:7] = poles, (112.0, 114.0, 116.0)
    trunks = out[len(poles) :]
    trunks[:, :2], trunks[:, 2], trunks[:, 3] = (
        trees[:, :2],
        0.07 + 0.045 * trees[:, 2],
        0.5 * (trees[:, 3] + trees[:, 4]),
    )
    trunks[:, 4:7] = (88.0, 74.0, 60.0)
    out[:, :2] -= camera[:2]
    out[:, 7:10], _ = _sector(out, out[:, 2], 0.006)
    return out


def _light(conditions: Conditions) -> tuple[Array, Array]:
    """Sun and sky parameters in the layout of `cast`."""
    a, e, o = conditions.sun_azimuth_rad, conditions.sun_elevation_rad, conditions.overcast
    light = np.array([
        math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e), 0.62 + 0.28 * o, 0.55 * (1 - o),
    ])  # fmt: skip
    zenith = np.array([88.0, 134.0, 196.0]) * (1 - o) + np.array([188.0, 192.0, 198.0]) * o
    horizon = np.array([206.0, 216.0, 226.0]) * (1 - o) + np.array([214.0, 216.0, 218.0]) * o
    cloud = np.array([238.0, 240.0, 242.0]) * (1 - 0.15 * o)
    cover = 0.7 * ((conditions.seed % 997) / 997.0) + 0.4 * o
    return light, np.array([*zenith, *horizon, *cloud, cover, float(conditions.seed % 1021)])


@kernel
def _atan(y: float, x: float) -> float:
    """Angle of (x, y) to about 2e-6 rad, several times faster than the library's."""
    ax, ay = abs(x), abs(y)
    t = min(ax, ay) / max(ax, ay, 1e-20)
    s = t * t
    p = 0.999999 + s * (-0.333299 + s * (0.199355 + s * (-0.139086 + s * (0.0964201 + s * (-0.0559098 + s * (
        0.0218612 - s * 0.0040541))))))  # fmt: skip
    angle = t * p
    if ay > ax:
        angle = math.pi / 2 - angle
    if x < 0.0:
        angle = math.pi - angle
    return -angle if y < 0.0 else angle


@kernel
def _lookup(rays: Array, R: Array, az_left: float, el_top: float, scale: float, mx: Array, my: Array) -> None:
    """Where each ray (base frame) falls in a window: clockwise azimuth from `az_left`, elevation from
    `el_top`."""
    height, width = mx.shape
    for r in range(height):
        for c in range(width):
            x, y, z = rays[r, c, 0], rays[r, c, 1], rays[r, c, 2]
            wx = R[0, 0] * x + R[0, 1] * y + R[0, 2] * z
            wy = R[1, 0] * x + R[1, 1] * y + R[1, 2] * z
            wz = R[2, 0] * x + R[2, 1] * y + R[2, 2] * z
            mx[r, c] = (-_atan(wy, wx) - az_left) * scale - 0.5
            my[r, c] = (el_top - _atan(wz, math.sqrt(wx * wx + wy * wy))) * scale - 0.5


def _window(
    city: City, pose: GroundPose, conditions: Conditions, az_left: float, el_top: float, columns: int,
    rows: int,
    step: float,
) -> Array:  # fmt: skip
    """Cast a window; `az_left` is the clockwise azimuth from the heading of its left edge. uint8 [rows,
    columns, 3]."""
    camera = pose.camera()
    rng = np.random.default_rng(conditions.seed)
    place = (float(camera[0]), float(camera[1]))
    cars = np.zeros((0, CAR_COLUMNS))
    if conditions.cars:
        style = city.style
        cars = place_cars(city.slots, city.lanes, rng, style.occupancy, style.traffic, place, 75.0, clear_m=5.5)
        cars = cars[_clear_of(cars, camera)]
    shade = cast_shadows(city, place, _SHADOW_SIDE_M, conditions.sun_azimuth_rad, conditions.sun_elevation_rad, cars)
    light, sky = _light(conditions)
    surface = np.array(
        [
            conditions.visibility_m,
            *conditions.foliage,
            conditions.snow,
            conditions.wet,
            conditions.shadow,
            conditions.bare,
        ]
    )
    azimuths = pose.yaw_enu_rad - (az_left + (np.arange(columns) + 0.5) * step)
    level0, level1, level2, level3 = city.ground
    out = np.zeros((columns, rows, 3), np.uint8)
    cast(
        np.array([*camera, city.size_m / 2, _SHADOW_SIDE_M / 2]), azimuths, el_top, step, step,
        _boxes(city.buildings, cars, camera), _crowns(city.trees, camera, conditions.foliage), 
        _posts(city, camera),
        level0, level1, level2, level3, city.kerbs, shade, noise.textures(), light, sky, surface, out,
    )  # fmt: skip
    return np.asarray(cv2.transpose(out))


def _clear_of(cars: Array, camera: Array) -> Array:
    """Cars whose outline keeps a metre and a half from the camera."""
    d = camera[:2] - cars[:, :2]
    c, s = np.cos(cars[:, 2]), np.sin(cars[:, 2])
    along, across = np.abs(d[:, 0] * c + d[:, 1] * s), np.abs(-d[:, 0] * s + d[:, 1] * c)
    return np.asarray((along > cars[:, 3] + 2.8) | (across > cars[:, 4] + 1.1))


def render_ground(city: City, pose: GroundPose, rig: CameraRig, conditions: Conditions) -> Array:
    """What `rig` sees at `pose`: rgb uint8 [rig.height, rig.width, 3]. The pose's height overrides the
    rig's."""
    if rig.camera is None and pose.roll_rad == 0.0 and pose.pitch_rad == 0.0 and rig.width == 2 * rig.height:
        step = math.pi / rig.height
        return develop(_window(city, pose, conditions, -math.pi, math.pi / 2, rig.width, rig.height, step), conditions)
    rays, R = base_rays(rig), pose.rotation()
    mx, my = np.empty(rays.shape[:2], np.float32), np.empty(rays.shape[:2], np.float32)
    if rig.camera is None:
        rows = max(rig.height, rig.width // 2)
        scale = rows / math.pi
        image = _window(city, pose, conditions, -math.pi, math.pi / 2, 2 * rows, rows, math.pi / rows)
        image = cv2.copyMakeBorder(image, 1, 1, 0, 0, cv2.BORDER_REPLICATE)
        image = cv2.copyMakeBorder(image, 0, 0, 1, 1, cv2.BORDER_WRAP)
        _lookup(rays, R, -math.pi - 1 / scale, math.pi / 2 + 1 / scale, scale, mx, my)
    else:
        scale = 1.05 * float(rig.camera.K[0, 0])
        _lookup(rays, R, 0.0, 0.0, 1.0, mx, my)
        left, top = float(mx.min()) + 0.5 - 2 / scale, -(float(my.min()) + 0.5) + 2 / scale
        columns = int((mx.max() - mx.min()) * scale) + 5
        rows = int((my.max() - my.min()) * scale) + 5
        image = _window(city, pose, conditions, left, top, columns, rows, 1 / scale)
        _lookup(rays, R, left, top, scale, mx, my)
    return develop(cv2.remap(image, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), conditions)
