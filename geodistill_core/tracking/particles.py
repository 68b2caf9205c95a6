# SPDX-License-Identifier: Apache-2.0
"""Weighted hypotheses of pose, motion and the receiver's bias, on the tangent plane of an anchor.

Columns of `state` [N, 9]: east, north, yaw (radians, unwrapped), speed, yaw rate, scale of the odometry, bias of its
yaw rate, and the mean of the receiver's bias east and north, given the rest (Rao-Blackwellised).
"""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.motion import Motion
from geodistill_core.types import Array

EAST, NORTH, YAW, SPEED, YAW_RATE, SCALE, RATE_BIAS, BIAS_EAST, BIAS_NORTH = range(9)
COLUMNS = 9
_SCALE_S, _RATE_BIAS_S = 300.0, 300.0
_JITTER_M, _JITTER_RAD = 0.01, math.radians(0.03)


class Particles:
    """N hypotheses with log-weights; every random number comes from the generator that it is given."""

    def __init__(self, config: TrackerConfig, rng: np.random.Generator) -> None:
        self.config, self._rng = config, rng
        self.state = np.zeros((config.particles, COLUMNS))
        self.log_weight = np.zeros(config.particles)

    def fresh(self, poses: Array, speed_mps: float, sigma_speed_mps: float) -> Array:
        """States [M, 9] at poses [M, 3] about which nothing else is known."""
        rng, config = self._rng, self.config
        state = np.zeros((len(poses), COLUMNS))
        state[:, :3] = poses
        state[:, SPEED] = speed_mps + rng.normal(0.0, sigma_speed_mps, len(poses))
        state[:, SCALE] = 1.0 + rng.normal(0.0, config.scale_sigma, len(poses))
        state[:, RATE_BIAS] = rng.normal(0.0, config.rate_bias_sigma_radps, len(poses))
        return state

    def start(self, state: Array) -> None:
        """Begin anew with states [N, 9] of equal weight."""
        self.state = state
        self.log_weight = np.zeros(len(state))

    def weights(self) -> Array:
        """The weights [N], which sum to one."""
        weight = np.exp(self.log_weight - self.log_weight.max())
        return np.asarray(weight / weight.sum())

    def move(self, motion: Motion) -> None:
        """Predict by a step; where nothing was measured the vehicle keeps its speed and turn, less and less surely."""
        config, X = self.config, self.state
        dt = motion.seconds
        if dt <= 0.0:
            return
        n, normal = len(X), self._rng.standard_normal
        root = math.sqrt(dt)
        measured = motion.measured_s / dt
        _walk(X, SCALE, 1.0, config.scale_sigma, dt / _SCALE_S, normal(n))
        _walk(X, RATE_BIAS, 0.0, config.rate_bias_sigma_radps, dt / _RATE_BIAS_S, normal(n))
        turn_noise = config.yaw_noise_rad * root * normal(n)
        if motion.turn_measured:
            turn = motion.turn_rad - X[:, RATE_BIAS] * dt
            X[:, YAW_RATE] = motion.turn_rad / dt if motion.yaw_rate_radps is None else motion.yaw_rate_radps
        else:
            X[:, YAW_RATE] += config.yaw_acceleration_radps2 * root * normal(n)
            turn = X[:, YAW_RATE] * dt
        blind_ahead = X[:, SPEED] * motion.blind_s + 0.5 * config.acceleration_mps2 * motion.blind_s**2 * normal(n)
        ahead = motion.ahead_m / X[:, SCALE] + blind_ahead
        left = motion.left_m / X[:, SCALE] + blind_ahead * np.sin(turn / 2)
        if motion.speed_mps is not None and measured > 0.5:
            X[:, SPEED] = motion.speed_mps / X[:, SCALE]
        else:
            X[:, SPEED] += config.acceleration_mps2 * root * normal(n) * math.sqrt(dt)
        way = np.abs(ahead)
        ahead = ahead + np.hypot(config.forward_noise * way, config.rest_noise_m * root) * normal(n)
        left = left + np.hypot(config.sideways_noise * way, config.rest_noise_m * root) * normal(n)
        c, s = np.cos(X[:, YAW]), np.sin(X[:, YAW])
        X[:, EAST] += c * ahead - s * left
        X[:, NORTH] += s * ahead + c * left
        X[:, YAW] += turn + turn_noise

    def weigh(self, log_likelihood: Array) -> None:
        """Multiply the weights by likelihoods [N] given as logarithms."""
        self.log_weight = self.log_weight + log_likelihood
        self.log_weight -= self.log_weight.max()

    def effective(self) -> float:
        """The number of particles that count, 1 / sum of squared weights."""
        return float(1.0 / np.square(self.weights()).sum())

    def replace_lightest(self, state: Array, share: float) -> None:
        """Put `state` [M, 9] in place of the M lightest particles; together they get `share` of the weight."""
        weight = self.weights()
        count = len(state)
        lightest = np.argpartition(weight, count)[:count]
        self.state[lightest] = state
        weight[lightest] = 0.0
        weight *= (1.0 - share) / max(weight.sum(), 1e-300)
        weight[lightest] = share / count
        self.log_weight = np.log(np.maximum(weight, 1e-300))

    def resample(self, below: float = 0.5) -> None:
        """Systematic resampling where fewer than `below` of the particles count; a little jitter keeps them apart."""
        n = len(self.state)
        if self.effective() >= below * n:
            return
        at = (self._rng.random() + np.arange(n)) / n
        chosen = np.minimum(np.searchsorted(np.cumsum(self.weights()), at), n - 1)
        self.state = self.state[chosen]
        self.state[:, :2] += self._rng.normal(0.0, _JITTER_M, (n, 2))
        self.state[:, YAW] += self._rng.normal(0.0, _JITTER_RAD, n)
        self.log_weight = np.zeros(n)

    def transform(self, turn_rad: float, east_m: float, north_m: float) -> None:
        """Express all poses and biases in another plane: turned by `turn_rad`, then moved."""
        c, s = math.cos(turn_rad), math.sin(turn_rad)
        R = np.array([[c, s], [-s, c]])
        self.state[:, :2] = self.state[:, :2] @ R + (east_m, north_m)
        self.state[:, BIAS_EAST:] = self.state[:, BIAS_EAST:] @ R
        self.state[:, YAW] += turn_rad


def _walk(X: Array, column: int, mean: float, sigma: float, share: float, normal: Array) -> None:
    """A Gauss-Markov process that keeps `sigma` and forgets `share` of itself."""
    keep = math.exp(-share)
    X[:, column] = mean + keep * (X[:, column] - mean) + sigma * math.sqrt(1.0 - keep**2) * normal


def deviations(state: Array, pose: Array) -> Array:
    """Offsets [N, 3] of the poses from one pose, yaw wrapped."""
    off = state[:, :3] - pose
    off[:, 2] = wrap(off[:, 2])
    return np.asarray(off)
