# SPDX-License-Identifier: Apache-2.0
"""A Gaussian belief about (log height, pitch, roll), sharpened by slopes of the evidence: Newton's method, recursive.

With prior information L, the weighed and slowly forgotten sum A of the frames' negative Hessians and a frame's weighed
gradient g, the mean moves by (L + A)^-1 g. What earlier frames said has no slope at the mean, where it was
linearised.
"""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.types import Array

_REACH_SIGMAS = 4.0
_KEPT_WHERE_FAR = 0.5


class GaussianBelief:
    """Starts at `mean` [3] with independent `sigmas` [3]; `memory` is the weight that is remembered."""

    def __init__(self, mean: Array, sigmas: Array, memory: float) -> None:
        self.start = np.array(mean, dtype=np.float64)
        self.mean = self.start.copy()
        self.sigmas = np.array(sigmas, dtype=np.float64)
        self.memory = memory
        self._seen = np.zeros((3, 3))

    def update(self, gradient: Array, hessian: Array, weight: float, reach: Array) -> None:
        """Take a frame's slopes, which hold within `reach` [3] of the mean.

        A step that would lead further is shortened, and half of what was learned is forgotten: it belongs to another
        place.
        """
        self._seen = self._seen * math.exp(-weight / self.memory) - weight * hessian
        step = self.covariance @ (weight * gradient)
        excess = float((np.abs(step) / reach).max())
        if excess > 1.0:
            step /= excess
            self._seen *= _KEPT_WHERE_FAR
        limit = _REACH_SIGMAS * self.sigmas
        self.mean = np.clip(self.mean + step, self.start - limit, self.start + limit)

    @property
    def covariance(self) -> Array:
        """The belief's covariance [3, 3]."""
        # in units of the prior's sigmas, where all axes weigh alike; noise may have made A indefinite
        scaled = self._seen * np.outer(self.sigmas, self.sigmas)
        values, vectors = np.linalg.eigh(scaled)
        inner = (vectors / (1.0 + np.maximum(values, 0.0))) @ vectors.T
        return np.asarray(inner * np.outer(self.sigmas, self.sigmas))
