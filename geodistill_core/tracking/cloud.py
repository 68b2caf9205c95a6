# SPDX-License-Identifier: Apache-2.0
"""The particles of one track, and what each kind of evidence does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.tracking.ambiguity import Ambiguity
from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.gnss_belief import GnssBelief
from geodistill_core.tracking.heat import Evidence
from geodistill_core.tracking.motion import Motion
from geodistill_core.tracking.particles import BIAS_EAST, SPEED, YAW, Particles
from geodistill_core.tracking.summary import Summary, summarize
from geodistill_core.types import Array

_NEW_SHARE = 0.03
# mean log-likelihood ratio of the particles below which an image speaks against them: half as likely as anywhere
_AGAINST = math.log(0.5)
_UNKNOWN_SPEED_MPS, _MEASURED_SPEED_MPS = 5.0, 0.3
_HEADING_DOF = 4.0


@dataclass(frozen=True, slots=True)
class Place:
    """What is known before the first image: position [2] on the plane and heading, with sigmas; perhaps the speed.

    `fix_ns` is the stamp of the fix that said so, None where it was not GNSS.
    """

    position: Array
    sigma_m: float
    yaw_rad: float
    sigma_yaw_rad: float
    speed_mps: float | None
    fix_ns: int | None


class Cloud:
    """From the first heat map to the last."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self._rng = np.random.default_rng(config.seed)
        self.particles = Particles(config, self._rng)
        self.belief = GnssBelief(config)
        self.gnss_share = 1.0
        self._ambiguity = Ambiguity()
        self._fix: Array | None = None
        self._way_m = 0.0

    def start(self, evidence: Evidence, place: Place) -> None:
        """Draw the particles from a heat map under what was known before."""
        self.belief.stated_m = place.sigma_m
        log_weight = self.belief.log_weight(*evidence.cells(), place.position)
        poses = evidence.drawn(log_weight, self.config.particles, self.config.weight, self._rng)
        sigma_speed = _UNKNOWN_SPEED_MPS if place.speed_mps is None else _MEASURED_SPEED_MPS
        self.particles.start(self.particles.fresh(poses, place.speed_mps or 0.0, sigma_speed))
        if place.fix_ns is not None:
            self._fix = place.position
            self.belief.begin(self.particles, place.position, place.sigma_m, place.fix_ns)
        self._weigh_heading(place.yaw_rad, place.sigma_yaw_rad, 1.0)

    def move(self, motion: Motion) -> None:
        """Predict by a step."""
        self.particles.move(motion)

    def thin(self) -> None:
        """Resample where few particles count."""
        self.particles.resample()

    def learn_fix(self, fix: Array, sigma_m: float, stamp_ns: int) -> None:
        """Weigh by a GNSS fix [2]."""
        self._fix = fix
        self.gnss_share = self.belief.learn(self.particles, fix, sigma_m, stamp_ns)

    def learn_heading(self, yaw_rad: float, sigma_rad: float, seconds: float) -> None:
        """Weigh by a measured heading, whose error is alike over `heading_s`: most of it is known already."""
        self._weigh_heading(yaw_rad, sigma_rad, 1.0 - math.exp(-seconds / self.config.heading_s))

    def learn_image(self, evidence: Evidence, motion: Motion, fix: Array | None, *, acquiring: bool) -> bool:
        """Weigh by a heat map after a step; True where it speaks against the particles.

        Then, and always while the place is still being acquired, other places in its window get a chance.
        """
        config, particles = self.config, self.particles
        way = motion.distance_m if motion.measured_s > 0.0 else abs(self._speed()) * motion.seconds
        self._way_m += way
        power = config.weight * -math.expm1(-way / config.correlation_m - motion.seconds / config.correlation_s)
        weight, ratio = particles.weights(), evidence.log_ratio(particles.state[:, :3])
        explained = float(weight @ np.exp(power * ratio))
        particles.weigh(power * ratio)
        against = float(weight @ ratio) < _AGAINST
        if against or acquiring:
            kidnapped = -math.expm1(-motion.seconds / config.kidnap_s)
            doubt = config.acquiring_doubt * math.exp(-self._way_m / config.converged_distance_m) if acquiring else 0.0
            elsewhere = max(doubt, kidnapped if against else 0.0)
            self._look_elsewhere(evidence, elsewhere / (elsewhere + (1.0 - elsewhere) * explained), fix)
        particles.resample()
        return against

    def gnss_bias(self) -> Array:
        """The receiver's bias [2] in metres, east and north."""
        return np.asarray(self.particles.weights() @ self.particles.state[:, BIAS_EAST : BIAS_EAST + 2])

    def summary(self, proof: float = 0.0) -> Summary:
        """The heaviest mode and its spread, after images that gave so much proof of it."""
        found = summarize(self.particles)
        self._ambiguity.learn(found.elsewhere, proof)
        return replace(found, covariance=found.covariance - found.elsewhere + self._ambiguity.covariance)

    def _look_elsewhere(self, evidence: Evidence, share: float, fix: Array | None) -> None:
        """Give the places that the image alone speaks for a share of the weight."""
        if share <= 0.0:
            return
        count = max(1, round(_NEW_SHARE * self.config.particles))
        rows = np.zeros(evidence.heatmap.probability.shape[1:])
        log_weight = rows if fix is None else self.belief.log_weight(*evidence.cells(), fix)
        fresh = self.particles.fresh(
            evidence.drawn(log_weight, count, self.config.weight, self._rng), self._speed(), 1.0
        )
        if self._fix is not None:
            fresh[:, BIAS_EAST : BIAS_EAST + 2] = self.belief.new_bias(fresh, self._fix)
        self.particles.replace_lightest(fresh, share)

    def _weigh_heading(self, yaw_rad: float, sigma_rad: float, power: float) -> None:
        off = np.asarray(wrap(self.particles.state[:, YAW] - yaw_rad)) / sigma_rad
        self.particles.weigh(-0.5 * power * (_HEADING_DOF + 1.0) * np.log1p(off**2 / _HEADING_DOF))

    def _speed(self) -> float:
        return float(self.particles.weights() @ self.particles.state[:, SPEED])
