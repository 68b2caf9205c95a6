# SPDX-License-Identifier: Apache-2.0
"""What GNSS says about the particles, its error being a slow bias and noise with heavy tails.

Each particle carries the mean of the bias that its own history implies; their variance is common. So the bias and the
position are estimated together, and a bias is not taken for certainty about the position.
"""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.particles import BIAS_EAST, Particles
from geodistill_core.types import Array


class GnssBelief:
    """The variance of the receiver's bias, per axis, and what one fix does to the particles."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.stated_m = 0.0
        self._variance = 0.0
        self._last_ns: int | None = None

    @property
    def spread_m(self) -> float:
        """How far a fix may lie from the vehicle, one sigma per axis before any match: bias and noise."""
        return self.stated_m * math.hypot(1.0, self.config.gnss_noise_share)

    def learn(self, particles: Particles, fix: Array, sigma_m: float, stamp_ns: int) -> float:
        """Weigh the particles by a fix [2] on their plane and update their biases.

        `sigma_m` is what the receiver states per axis. Returns the share with which the fix counted: 1 for one that
        was expected, towards 0 for an outlier.
        """
        self._age(particles, sigma_m, stamp_ns)
        noise = (self.config.gnss_noise_share * sigma_m) ** 2
        bias = particles.state[:, BIAS_EAST : BIAS_EAST + 2]
        innovation = fix - particles.state[:, :2] - bias
        S = self._variance + noise
        dof = self.config.gnss_dof
        distance_sq = np.square(innovation).sum(axis=1) / S
        particles.weigh(-0.5 * (dof + 2.0) * np.log1p(distance_sq / dof))
        counted = np.minimum(1.0, (dof + 2.0) / (dof + distance_sq))
        gain = self._variance / S
        bias += (gain * counted)[:, None] * innovation
        share = float(particles.weights() @ counted)
        self._variance *= 1.0 - gain * share
        return share

    def _age(self, particles: Particles, sigma_m: float, stamp_ns: int) -> None:
        """Let the bias drift since the last fix; it is wholly unknown before the first."""
        self.stated_m = sigma_m
        bias = particles.state[:, BIAS_EAST : BIAS_EAST + 2]
        if self._last_ns is None:
            self._variance = sigma_m**2
            bias[:] = 0.0
        else:
            keep = math.exp(-max(0.0, (stamp_ns - self._last_ns) * 1e-9) / self.config.gnss_bias_s)
            bias *= keep
            self._variance = keep**2 * self._variance + (1.0 - keep**2) * sigma_m**2
        self._last_ns = stamp_ns

    def log_weight(self, east_m: Array, north_m: Array, fix: Array) -> Array:
        """Logarithm of how probable positions are, given a fix alone, up to a constant."""
        dof = self.config.gnss_dof
        distance_sq = ((east_m - fix[0]) ** 2 + (north_m - fix[1]) ** 2) / self.spread_m**2
        return np.asarray(-0.5 * (dof + 2.0) * np.log1p(distance_sq / dof))

    def begin(self, particles: Particles, fix: Array, sigma_m: float, stamp_ns: int) -> None:
        """The particles were drawn around a fix: what each says of the bias is known."""
        self.stated_m, self._last_ns = sigma_m, stamp_ns
        gain = self._first_gain()
        self._variance = (1.0 - gain) * sigma_m**2
        particles.state[:, BIAS_EAST : BIAS_EAST + 2] = self.new_bias(particles.state, fix)

    def new_bias(self, poses: Array, fix: Array) -> Array:
        """Mean bias [N, 2] of hypotheses that were drawn anew at poses [N, 3 or more], given one fix."""
        return np.asarray(self._first_gain() * (fix - poses[:, :2]))

    def _first_gain(self) -> float:
        return 1.0 / (1.0 + self.config.gnss_noise_share**2)
