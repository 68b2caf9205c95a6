# SPDX-License-Identifier: Apache-2.0
"""What a cloud of particles says: the heaviest mode's pose, its mass, and the spread that is worth claiming."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.tracking.particles import SPEED, YAW, YAW_RATE, Particles, deviations
from geodistill_core.types import Array

# a mode is as wide as half of the whole cloud's spread, but no narrower than this
_LEAST_BIN_M, _BIN_SPREADS, _RADIUS_BINS, _ROUNDS = 2.0, 0.5, 1.5, 3
# hypotheses that together hold less are kept by the filter but are no part of what is claimed
_NEGLIGIBLE = 0.05


@dataclass(frozen=True, slots=True)
class Summary:
    """Pose [3] (east m, north m, yaw rad) of the heaviest mode, covariance [3, 3] about it, mass, speed, yaw rate.

    `elsewhere` [3, 3] is the part of the covariance that other modes add.
    """

    pose: Array
    covariance: Array
    mass: float
    speed_mps: float
    yaw_rate_radps: float
    elsewhere: Array

    @property
    def spread_m(self) -> float:
        """The longer half-axis of the one-sigma ellipse."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]))


def summarize(particles: Particles) -> Summary:
    """The heaviest mode; the spread covers the other modes too where they hold 5 % or more."""
    X, weight = particles.state, particles.weights()
    bin_m = max(_LEAST_BIN_M, _BIN_SPREADS * _spread_m(X[:, :2], weight))
    center = _heaviest_bin(X[:, :2], weight, bin_m)
    for _ in range(_ROUNDS):
        near = np.square(X[:, :2] - center).sum(axis=1) <= (_RADIUS_BINS * bin_m) ** 2
        center = (weight[near] @ X[near, :2]) / weight[near].sum()
    mass = float(weight[near].sum())
    here = weight * near / mass
    yaw = math.atan2(here @ np.sin(X[:, YAW]), here @ np.cos(X[:, YAW]))
    pose = np.array([*center, yaw])
    off = deviations(X, pose)
    covariance = (off * here[:, None]).T @ off
    elsewhere = (off * (weight * ~near)[:, None]).T @ off if 1.0 - mass >= _NEGLIGIBLE else np.zeros((3, 3))
    speed, yaw_rate = float(here @ X[:, SPEED]), float(here @ X[:, YAW_RATE])
    return Summary(pose, covariance + elsewhere, mass, speed, yaw_rate, elsewhere)


def _spread_m(position: Array, weight: Array) -> float:
    """Root mean square distance from the mean, per axis."""
    off = position - weight @ position
    return float(np.sqrt(weight @ np.square(off).sum(axis=1) / 2))


def _heaviest_bin(position: Array, weight: Array, bin_m: float) -> Array:
    """Centre of the heaviest square."""
    bins = np.floor(position / bin_m).astype(np.int64)
    first = bins.min(axis=0)
    columns = int(bins[:, 1].max() - first[1]) + 1
    heaviest = int(np.bincount((bins[:, 0] - first[0]) * columns + bins[:, 1] - first[1], weights=weight).argmax())
    return np.asarray((first + divmod(heaviest, columns) + 0.5) * bin_m)


def in_vehicle_axes(offset: Array, yaw_rad: float) -> Array:
    """An offset [3] (east, north, yaw) as (along, across, yaw) of a heading."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([c * offset[0] + s * offset[1], -s * offset[0] + c * offset[1], float(wrap(offset[2]))])
