# SPDX-License-Identifier: Apache-2.0
"""The particles of one track, and what each kind of evidence does to them."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.gnss_belief import GnssBelief
from geodistill_core.tracking.heat import Evidence
from geodistill_core.tracking.motion import Motion
from geodistill_core.tracking.particles import BIAS_EAST, YAW, Particles
from geodistill_core.tracking.summary import Summary, summarize
from geodistill_core.types import Array

_NEW_SHARE = 0.03
_WORTHWHILE = 1e-3
_UNKNOWN_SPEED_MPS, _MEASURED_SPEED_MPS = 5.0, 0.3
_HEADING_DOF = 4.0


class Cloud:
    """From the first heat map to the last."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self._rng = np.random.default_rng(config.seed)
        self.particles = Particles(config, self._rng)
        self.belief = GnssBelief(config)
        self.gnss_share = 1.0
        self._fix: Array | None = None

    def start(
        self, evidence: Evidence, fix: Array, sigma_m: float, yaw_rad: float, sigma_yaw_rad: float, speed: float | None
    ) -> None:
        """Draw the particles from a heat map under a prior: position [2] with sigma, heading with sigma."""
        self.belief.begin(sigma_m)
        self._fix = fix
        log_weight = self.belief.log_weight(*evidence.cells(), fix)
        poses, _ = evidence.drawn(log_weight, self.config.particles, self.config.weight, self._rng)
        sigma_speed = _UNKNOWN_SPEED_MPS if speed is None else _MEASURED_SPEED_MPS
        self.particles.start(self.particles.fresh(poses, speed or 0.0, sigma_speed))
        off = np.asarray(wrap(poses[:, 2] - yaw_rad)) / sigma_yaw_rad
        self.particles.weigh(-0.5 * (_HEADING_DOF + 1.0) * np.log1p(off**2 / _HEADING_DOF))

    def move(self, motion: Motion) -> None:
        """Predict by a step."""
        self.particles.move(motion)

    def learn_fix(self, fix: Array, sigma_m: float, stamp_ns: int) -> None:
        """Weigh by a GNSS fix [2]."""
        self._fix = fix
        self.gnss_share = self.belief.learn(self.particles, fix, sigma_m, stamp_ns)

    def learn_heading(self, yaw_rad: float, sigma_rad: float, seconds: float) -> None:
        """Weigh by a measured heading, whose error is alike over `heading_s`: most of it is known already."""
        off = np.asarray(wrap(self.particles.state[:, YAW] - yaw_rad)) / sigma_rad
        power = 1.0 - math.exp(-seconds / self.config.heading_s)
        self.particles.weigh(-0.5 * power * (_HEADING_DOF + 1.0) * np.log1p(off**2 / _HEADING_DOF))

    def learn_image(self, evidence: Evidence, motion: Motion, fix: Array | None) -> bool:
        """Weigh by a heat map after a step, and give other places in its window a chance.

        True where the image speaks for another place than the particles'.
        """
        config, particles = self.config, self.particles
        way = motion.distance_m if motion.measured_s > 0.0 else abs(self._speed()) * motion.seconds
        power = config.weight * -math.expm1(-way / config.correlation_m - motion.seconds / config.correlation_s)
        weight = particles.weights()
        ratio = evidence.log_ratio(particles.state[:, :3])
        explained = float(weight @ np.exp(power * ratio))
        particles.weigh(power * ratio)
        count = max(1, round(_NEW_SHARE * config.particles))
        poses, elsewhere = self._drawn(evidence, power, count, fix)
        kidnapped = -math.expm1(-motion.seconds / config.kidnap_s)
        share = kidnapped * elsewhere / (kidnapped * elsewhere + (1.0 - kidnapped) * explained)
        if share > _WORTHWHILE:
            fresh = particles.fresh(poses, self._speed(), 1.0)
            if self._fix is not None:
                fresh[:, BIAS_EAST : BIAS_EAST + 2] = self.belief.new_bias(poses, self._fix)
            particles.replace_lightest(fresh, share)
        particles.resample()
        return explained < elsewhere

    def gnss_bias(self) -> Array:
        """The receiver's bias [2] in metres, east and north."""
        return np.asarray(self.particles.weights() @ self.particles.state[:, BIAS_EAST : BIAS_EAST + 2])

    def summary(self) -> Summary:
        """The heaviest mode and its spread."""
        return summarize(self.particles)

    def _drawn(self, evidence: Evidence, power: float, count: int, fix: Array | None) -> tuple[Array, float]:
        height, width = evidence.heatmap.probability.shape[1:]
        if fix is None:
            return evidence.drawn(np.zeros((height, width)), count, power, self._rng)
        return evidence.drawn(self.belief.log_weight(*evidence.cells(), fix), count, power, self._rng)

    def _speed(self) -> float:
        return float(self.particles.weights() @ self.particles.state[:, 3])
