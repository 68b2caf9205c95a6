# SPDX-License-Identifier: Apache-2.0
"""How a vehicle moves along a route: speed within limits of acceleration, a wander in its lane, a body that
leans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from geodistill_core.datasets.synthcity.ground import GroundPose
from geodistill_core.datasets.synthcity.levels import Level
from geodistill_core.datasets.synthcity.routes import STEP_M
from geodistill_core.datasets.synthcity.sensors import gauss_markov
from geodistill_core.types import Array

MIN_SPEED_MPS, MAX_SPEED_MPS = 3.0, 10.0
MAX_ACCELERATION_MPS2, MAX_BRAKING_MPS2, MAX_LATERAL_MPS2 = 1.5, 2.0, 2.0
_STEP_S = 0.01
_WANDER_M = 0.25
_LEAN_RAD_PER_MPS2 = math.radians(0.4)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The true motion, sampled evenly at `seconds` [N]: metres east and north, unwrapped ENU yaw, speed, yaw
    rate, and the body's roll and pitch against the ground (REP-103)."""

    seconds: Array
    east_m: Array
    north_m: Array
    yaw_enu_rad: Array
    speed_mps: Array
    yaw_rate_radps: Array
    roll_rad: Array
    pitch_rad: Array

    def at(self, seconds: Array, values: Array) -> Array:
        """One of the columns, interpolated."""
        return np.interp(seconds, self.seconds, values)

    def pose(self, second: float, height_m: float) -> GroundPose:
        """The pose at one time, with the camera's height."""
        columns = (self.east_m, self.north_m, self.yaw_enu_rad, self.roll_rad, self.pitch_rad)
        east, north, yaw, roll, pitch = (float(np.interp(second, self.seconds, c)) for c in columns)
        return GroundPose(east, north, yaw, roll, pitch, height_m)


def drive_along(route: Array, duration_s: float, level: Level, rng: np.random.Generator) -> Trajectory:
    """Drive a route ([N, 2] metres, 0.5 m apart) for `duration_s`; it must be long enough for 10 m/s
    throughout."""
    line = _wander(route, rng)
    steps = np.hypot(*np.diff(line, axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    yaw = np.unwrap(np.arctan2(np.gradient(line[:, 1], way), np.gradient(line[:, 0], way)))
    speed = _speed(way, np.gradient(yaw, way), rng)
    arrival = np.concatenate([[0.0], np.cumsum(steps / (0.5 * (speed[1:] + speed[:-1])))])
    seconds = np.arange(0.0, duration_s + _STEP_S, _STEP_S)
    travelled = np.interp(seconds, arrival, way)
    east, north = np.interp(travelled, way, line[:, 0]), np.interp(travelled, way, line[:, 1])
    heading, pace = np.interp(travelled, way, yaw), np.interp(travelled, way, speed)
    rate = np.gradient(heading, seconds)
    roll, pitch = _lean(level, seconds, pace * rate, np.gradient(pace, seconds), rng)
    return Trajectory(seconds, east, north, heading, pace, rate, roll, pitch)


def _wander(route: Array, rng: np.random.Generator) -> Array:
    """Shift the line sideways by a few slow waves: nobody drives on rails."""
    tangent = np.gradient(route, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / np.hypot(*tangent.T)[:, None]
    way = np.arange(len(route)) * STEP_M
    waves = [np.sin(2 * np.pi * (way / rng.uniform(40.0, 100.0) + rng.random())) for _ in range(3)]
    return np.asarray(route + normal * (_WANDER_M * np.mean(waves, axis=0))[:, None])


def _speed(way: Array, curvature: Array, rng: np.random.Generator) -> Array:
    """Speed along the way: the driver's pace, slower in bends, within the limits of acceleration and
    braking."""
    pace = rng.uniform(7.5, MAX_SPEED_MPS)
    allowed = np.sqrt(MAX_LATERAL_MPS2 / np.maximum(np.abs(curvature), 1e-4))
    # Braking for the bend ends before it begins.
    allowed = cv2.erode(allowed[:, None], np.ones((7, 1), np.uint8))[:, 0]
    square = np.clip(allowed, MIN_SPEED_MPS, pace) ** 2
    gaps = np.diff(way)
    for index in range(1, len(square)):
        square[index] = min(square[index], square[index - 1] + 2 * MAX_ACCELERATION_MPS2 * gaps[index - 1])
    for index in range(len(square) - 2, -1, -1):
        square[index] = min(square[index], square[index + 1] + 2 * MAX_BRAKING_MPS2 * gaps[index])
    # Rounds the corners of the profile: a foot moves a pedal in half a second, not at once.
    padded = np.pad(np.sqrt(square), 24, mode="edge")
    return np.asarray(cv2.GaussianBlur(padded[:, None], (1, 25), 4.0)[24:-24, 0])


def _lean(level: Level, seconds: Array, lateral: Array, along: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Roll outwards in bends, nose down when braking, and the road's unevenness; all zero where a level has
    no tilt."""
    tilt = math.radians(level.tilt_deg)
    knots = np.arange(0.0, seconds[-1] + 1.0, 0.5)
    uneven = np.clip(gauss_markov(rng, knots, tilt, 2.0, 2), -2.5 * tilt, 2.5 * tilt)
    lean = _LEAN_RAD_PER_MPS2 * min(1.0, level.tilt_deg)
    roll, pitch = (np.interp(seconds, knots, uneven[:, column]) for column in (0, 1))
    return _smooth(roll + lean * lateral), _smooth(pitch - lean * along)


def _smooth(values: Array) -> Array:
    """Over a fifth of a second, the time a suspension takes."""
    padded = np.pad(values, 60, mode="edge")
    return np.asarray(cv2.GaussianBlur(padded[:, None], (1, 121), 20.0)[60:-60, 0])
