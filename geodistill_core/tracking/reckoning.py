# SPDX-License-Identifier: Apache-2.0
"""A summary carried on to another time without touching the particles."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.motion import Motion
from geodistill_core.tracking.summary import Summary


def carried(summary: Summary, motion: Motion, config: TrackerConfig) -> Summary:
    """The pose after a step, and its covariance to first order; unmeasured time keeps speed and turn."""
    dt = motion.seconds
    if dt <= 0.0:
        return summary
    blind_m = summary.speed_mps * motion.blind_s
    turn = motion.turn_rad if motion.turn_measured else summary.yaw_rate_radps * dt
    ahead, left = motion.ahead_m + blind_m, motion.left_m + blind_m * math.sin(turn / 2)
    yaw = float(summary.pose[2])
    c, s = math.cos(yaw), math.sin(yaw)
    step = np.array([c * ahead - s * left, s * ahead + c * left, turn])
    F = np.eye(3)
    F[0, 2], F[1, 2] = -step[1], step[0]
    way = abs(ahead)
    sigma_ahead = math.hypot(
        config.forward_noise * way, config.scale_sigma * way, 0.5 * config.acceleration_mps2 * motion.blind_s**2
    )
    sigma_left = config.sideways_noise * way
    sigma_turn = math.hypot(config.yaw_noise_rad * math.sqrt(dt), config.rate_bias_sigma_radps * dt)
    if not motion.turn_measured:
        sigma_turn = math.hypot(sigma_turn, 0.5 * config.yaw_acceleration_radps2 * dt**1.5)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    Q = R @ np.diag([sigma_ahead**2, sigma_left**2, sigma_turn**2]) @ R.T
    rest = config.rest_noise_m**2 * dt
    return Summary(
        summary.pose + step,
        F @ summary.covariance @ F.T + Q + np.diag([rest, rest, 0.0]),
        summary.mass,
        summary.speed_mps if motion.speed_mps is None else motion.speed_mps,
        summary.yaw_rate_radps if motion.yaw_rate_radps is None else motion.yaw_rate_radps,
        summary.elsewhere,
    )
