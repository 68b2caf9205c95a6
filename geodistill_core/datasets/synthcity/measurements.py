# SPDX-License-Identifier: Apache-2.0
"""What the sensors of a driving vehicle measure, as arrays over the drive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodistill_core.datasets.synthcity.levels import Level
from geodistill_core.datasets.synthcity.sensors import (
    SensorSuite,
    gauss_markov,
    gnss_error,
    heading_error,
    odometry,
    tilt_error,
)
from geodistill_core.datasets.synthcity.trajectory import Trajectory
from geodistill_core.types import Array

START_NS = 1_760_000_000_000_000_000
GNSS_HZ, ATTITUDE_HZ, ODOMETRY_HZ = 5.0, 50.0, 20.0


@dataclass(frozen=True, slots=True)
class GnssTrack:
    """Measured positions on the city's plane [N]; where not `available` the receiver had no fix."""

    stamps_ns: Array
    east_m: Array
    north_m: Array
    available: Array
    sigma_m: float


@dataclass(frozen=True, slots=True)
class AttitudeTrack:
    """Measured roll, pitch and ENU yaw [N] and the sigmas that the sensor states."""

    stamps_ns: Array
    roll_rad: Array
    pitch_rad: Array
    yaw_enu_rad: Array
    sigma_tilt_rad: float
    sigma_yaw_rad: float


@dataclass(frozen=True, slots=True)
class OdometryTrack:
    """Measured speed and yaw rate [N]."""

    stamps_ns: Array
    speed_mps: Array
    yaw_rate_radps: Array


def stamps_ns(seconds: Array) -> Array:
    """Times of a drive as integer stamps."""
    return START_NS + np.round(np.asarray(seconds) * 1e9).astype(np.int64)


def ticks(trajectory: Trajectory, rate_hz: float) -> Array:
    """Sampling times over a drive, in seconds from its start."""
    return np.arange(0.0, float(trajectory.seconds[-1]), 1.0 / rate_hz)


def measure_position(
    suite: SensorSuite, rng: np.random.Generator, trajectory: Trajectory, fixed_until_s: float
) -> GnssTrack:
    """GNSS fixes; the receiver has one for certain until `fixed_until_s`."""
    seconds = ticks(trajectory, GNSS_HZ)
    error, available = gnss_error(suite.gnss, rng, seconds)
    available |= seconds <= fixed_until_s
    return GnssTrack(
        stamps_ns(seconds),
        trajectory.at(seconds, trajectory.east_m) + error[:, 0],
        trajectory.at(seconds, trajectory.north_m) + error[:, 1],
        available,
        suite.gnss.stated_sigma_m,
    )


def measure_attitude(
    suite: SensorSuite, level: Level, rng: np.random.Generator, trajectory: Trajectory
) -> AttitudeTrack:
    """Against gravity: the body's lean plus the ground's slope, which the camera does not see."""
    seconds = ticks(trajectory, ATTITUDE_HZ)
    slope = gauss_markov(rng, seconds, math.radians(level.slope_deg), 8.0, 2)
    tilt = tilt_error(suite.tilt_sigma_deg, rng, len(seconds)) + slope
    yaw = trajectory.at(seconds, trajectory.yaw_enu_rad) + heading_error(suite.compass, rng, seconds)
    return AttitudeTrack(
        stamps_ns(seconds),
        trajectory.at(seconds, trajectory.roll_rad) + tilt[:, 0],
        trajectory.at(seconds, trajectory.pitch_rad) + tilt[:, 1],
        yaw,
        math.radians(max(math.hypot(suite.tilt_sigma_deg, level.slope_deg), 0.05)),
        math.radians(suite.compass.stated_sigma_deg),
    )


def measure_motion(suite: SensorSuite, rng: np.random.Generator, trajectory: Trajectory) -> OdometryTrack:
    """Wheel odometry."""
    seconds = ticks(trajectory, ODOMETRY_HZ)
    speed, rate = odometry(
        suite.odometry,
        rng,
        trajectory.at(seconds, trajectory.speed_mps),
        trajectory.at(seconds, trajectory.yaw_rate_radps),
    )
    return OdometryTrack(stamps_ns(seconds), speed, rate)
