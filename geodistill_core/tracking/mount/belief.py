# SPDX-License-Identifier: Apache-2.0
"""A Gaussian belief about (log height, pitch, roll), sharpened by slopes of the evidence: Newton's method, recursive.

With prior information L, the weighed and slowly forgotten sum A of the frames' negative Hessians and a frame's weighed
gradient g, the mean moves by (L + A)^-1 g. What earlier frames said has no slope at the mean, where it was
linearised. How far gradients scatter tells whether the evidence is worth what its curvature promises: with B the
forgotten sum of g g', the covariance is that of the sandwich, (L + A)^-1 (L + B) (L + A)^-1, where that is larger.
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
        self._scatter = np.zeros((3, 3))

    def update(self, gradient: Array, hessian: Array, weight: float, reach: Array) -> None:
        """Take a frame's slopes, which hold within `reach` [3] of the mean.

        A step that would lead further is shortened, and half of what was learned is forgotten: it belongs to another
        place.
        """
        kept, slope = math.exp(-weight / self.memory), weight * gradient
        self._seen = self._seen * kept - weight * hessian
        self._scatter = self._scatter * kept + np.outer(slope, slope)
        step = self._by_curvature() @ slope
        excess = float((np.abs(step) / reach).max())
        if excess > 1.0:
            step /= excess
            self._seen *= _KEPT_WHERE_FAR
            self._scatter *= _KEPT_WHERE_FAR
        limit = _REACH_SIGMAS * self.sigmas
        self.mean = np.clip(self.mean + step, self.start - limit, self.start + limit)

    def sigma(self) -> Array:
        """The belief's standard deviations [3]."""
        P = self._by_curvature()
        sandwich = P @ (np.diag(self.sigmas**-2.0) + self._scatter) @ P
        return np.asarray(np.minimum(np.sqrt(np.maximum(P.diagonal(), sandwich.diagonal())), self.sigmas))

    def _by_curvature(self) -> Array:
        # in units of the prior's sigmas, where all axes weigh alike; noise may have made A indefinite
        scaled = self._seen * np.outer(self.sigmas, self.sigmas)
        values, vectors = np.linalg.eigh(scaled)
        inner = (vectors / (1.0 + np.maximum(values, 0.0))) @ vectors.T
        return np.asarray(inner * np.outer(self.sigmas, self.sigmas))
