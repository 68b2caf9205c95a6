# SPDX-License-Identifier: Apache-2.0
"""Errors of the sensors a cheap vehicle carries: GNSS, compass, inertial attitude, wheel odometry.

Every function draws from the generator it is given and nothing else, so a drive is the same wherever it
is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodistill_core.types import Array


@dataclass(frozen=True, slots=True)
class GnssModel:
    """A receiver's horizontal error: an offset per drive, slow wander, white noise, multipath, outages.

    The offset has a uniform length between `offset_min_m` and `offset_max_m` and any direction. Multipath
    shifts the position by up to `multipath_m` for `multipath_s`, `multipath_hz` times a second; outages
    likewise. The whole error is clipped at `clip_m`. `stated_sigma_m` is what the receiver reports per axis.
    """

    offset_min_m: float
    offset_max_m: float
    wander_sigma_m: float
    wander_tau_s: float
    white_sigma_m: float
    multipath_hz: float
    multipath_m: float
    multipath_s: float
    outage_hz: float
    outage_s: float
    clip_m: float
    stated_sigma_m: float


@dataclass(frozen=True, slots=True)
class CompassModel:
    """A heading's error: a bias for the whole drive, a slow wander, white noise, clipped; all in degrees."""

    bias_sigma_deg: float
    wander_sigma_deg: float
    wander_tau_s: float
    white_sigma_deg: float
    clip_deg: float
    stated_sigma_deg: float


@dataclass(frozen=True, slots=True)
class OdometryModel:
    """Wheel odometry's error: a scale and a yaw-rate bias for the whole drive, and white noise."""

    scale_sigma: float
    speed_sigma_mps: float
    rate_bias_sigma_radps: float
    rate_sigma_radps: float


@dataclass(frozen=True, slots=True)
class SensorSuite:
    """The vehicle's sensors at one level; `tilt_sigma_deg` is the error of roll and pitch, half of it
    bias."""

    gnss: GnssModel
    compass: CompassModel
    odometry: OdometryModel
    tilt_sigma_deg: float


# Stated sigmas are honest over many drives; within one drive the error is mostly a bias, as on the road.
SUITES: dict[str, SensorSuite] = {
    "easy": SensorSuite(
        GnssModel(2.0, 6.0, 1.0, 20.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 25.0, 3.2),
        CompassModel(1.5, 0.8, 30.0, 0.5, 5.0, 2.0),
        OdometryModel(0.005, 0.02, 0.001, 0.002),
        0.0,
    ),
    "standard": SensorSuite(
        GnssModel(6.0, 13.0, 2.5, 20.0, 1.0, 0.05, 7.0, 4.0, 0.01, 1.0, 20.0, 8.0),
        CompassModel(8.0, 4.0, 30.0, 2.0, 20.0, 10.0),
        OdometryModel(0.01, 0.05, 0.003, 0.005),
        0.2,
    ),
    "hard": SensorSuite(
        GnssModel(6.0, 14.0, 4.0, 12.0, 1.5, 0.15, 12.0, 5.0, 0.05, 4.0, 20.0, 9.0),
        CompassModel(20.0, 9.0, 20.0, 4.0, 45.0, 22.0),
        OdometryModel(0.02, 0.1, 0.006, 0.01),
        0.4,
    ),
}


def gauss_markov(rng: np.random.Generator, seconds: Array, sigma: float, tau_s: float, columns: int) -> Array:
    """First-order Gauss-Markov processes [N, columns] at ascending times, stationary with `sigma`."""
    keep = np.exp(-np.diff(seconds, prepend=seconds[:1]) / tau_s)
    values = rng.standard_normal((len(seconds), columns))
    values[1:] *= np.sqrt(1.0 - keep[1:, None] ** 2)
    for index in range(1, len(seconds)):
        values[index] += keep[index] * values[index - 1]
    return values * sigma


def gnss_error(model: GnssModel, rng: np.random.Generator, seconds: Array) -> tuple[Array, Array]:
    """Error in metres east and north [N, 2] at ascending times, and whether there is a fix at all [N]."""
    length, angle = rng.uniform(model.offset_min_m, model.offset_max_m), rng.uniform(0.0, 2.0 * math.pi)
    error = np.array([math.cos(angle), math.sin(angle)]) * length
    error = error + gauss_markov(rng, seconds, model.wander_sigma_m, model.wander_tau_s, 2)
    error += rng.normal(0.0, model.white_sigma_m, error.shape)
    for start_s in _arrivals(rng, seconds, model.multipath_hz):
        shift = rng.uniform(-1.0, 1.0, 2) * model.multipath_m / math.sqrt(2.0)
        error[_during(seconds, start_s, rng.exponential(model.multipath_s))] += shift
    available = np.ones(len(seconds), dtype=bool)
    for start_s in _arrivals(rng, seconds, model.outage_hz):
        available[_during(seconds, start_s, model.outage_s)] = False
    length_m = np.hypot(error[:, 0], error[:, 1])
    return error * np.minimum(1.0, model.clip_m / np.maximum(length_m, 1e-9))[:, None], available


def heading_error(model: CompassModel, rng: np.random.Generator, seconds: Array) -> Array:
    """Heading error in radians [N] at ascending times."""
    bias = rng.normal(0.0, model.bias_sigma_deg)
    wander = gauss_markov(rng, seconds, model.wander_sigma_deg, model.wander_tau_s, 1)[:, 0]
    error = bias + wander + rng.normal(0.0, model.white_sigma_deg, len(seconds))
    return np.asarray(np.radians(np.clip(error, -model.clip_deg, model.clip_deg)))


def tilt_error(sigma_deg: float, rng: np.random.Generator, count: int) -> Array:
    """Errors of roll and pitch in radians [N, 2]: a constant and a white half."""
    half = math.radians(sigma_deg) / math.sqrt(2.0)
    return np.asarray(rng.normal(0.0, half, 2) + rng.normal(0.0, half, (count, 2)))


def odometry(
    model: OdometryModel, rng: np.random.Generator, speed_mps: Array, yaw_rate_radps: Array
) -> tuple[Array, Array]:
    """What the wheels report for true speeds and yaw rates [N]."""
    scale, bias = 1.0 + rng.normal(0.0, model.scale_sigma), rng.normal(0.0, model.rate_bias_sigma_radps)
    speed = speed_mps * scale + rng.normal(0.0, model.speed_sigma_mps, len(speed_mps))
    return speed, yaw_rate_radps + bias + rng.normal(0.0, model.rate_sigma_radps, len(yaw_rate_radps))


def _arrivals(rng: np.random.Generator, seconds: Array, rate_hz: float) -> Array:
    """Start times of rare events over the drive."""
    span_s = float(seconds[-1] - seconds[0])
    return np.asarray(seconds[0] + rng.uniform(0.0, span_s, int(rng.poisson(rate_hz * span_s))))


def _during(seconds: Array, start_s: float, duration_s: float) -> Array:
    return np.asarray((seconds >= start_s) & (seconds < start_s + duration_s))
