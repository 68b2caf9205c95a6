# SPDX-License-Identifier: Apache-2.0
"""What a cloud of particles says: the heaviest mode's pose, its mass, and the spread that is worth claiming."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.tracking.particles import SPEED, YAW, YAW_RATE, Particles, deviations
from geodistill_core.types import Array

_BIN_M, _RADIUS_M, _ROUNDS = 2.0, 3.0, 3
# hypotheses that together hold less are kept by the filter but are no part of what is claimed
_NEGLIGIBLE = 0.05


@dataclass(frozen=True, slots=True)
class Summary:
    """Pose [3] (east m, north m, yaw rad) of the heaviest mode, covariance [3, 3] about it, mass, speed, yaw rate."""

    pose: Array
    covariance: Array
    mass: float
    speed_mps: float
    yaw_rate_radps: float

    @property
    def spread_m(self) -> float:
        """The longer half-axis of the one-sigma ellipse."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]))


def summarize(particles: Particles) -> Summary:
    """The heaviest mode; the spread covers the other modes too where they hold 5 % or more."""
    X, weight = particles.state, particles.weights()
    center = _heaviest_bin(X[:, :2], weight)
    for _ in range(_ROUNDS):
        near = np.square(X[:, :2] - center).sum(axis=1) <= _RADIUS_M**2
        center = (weight[near] @ X[near, :2]) / weight[near].sum()
    mass = float(weight[near].sum())
    here = weight * near / mass
    yaw = math.atan2(here @ np.sin(X[:, YAW]), here @ np.cos(X[:, YAW]))
    pose = np.array([*center, yaw])
    claimed = here if 1.0 - mass < _NEGLIGIBLE else weight
    off = deviations(X, pose)
    covariance = (off * claimed[:, None]).T @ off
    return Summary(pose, covariance, mass, float(here @ X[:, SPEED]), float(here @ X[:, YAW_RATE]))


def _heaviest_bin(position: Array, weight: Array) -> Array:
    """Centre of the heaviest square of `_BIN_M`."""
    bins = np.floor(position / _BIN_M).astype(np.int64)
    first = bins.min(axis=0)
    columns = int(bins[:, 1].max() - first[1]) + 1
    heaviest = int(np.bincount((bins[:, 0] - first[0]) * columns + bins[:, 1] - first[1], weights=weight).argmax())
    return np.asarray((first + divmod(heaviest, columns) + 0.5) * _BIN_M)


def in_vehicle_axes(offset: Array, yaw_rad: float) -> Array:
    """An offset [3] (east, north, yaw) as (along, across, yaw) of a heading."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([c * offset[0] + s * offset[1], -s * offset[0] + c * offset[1], float(wrap(offset[2]))])
