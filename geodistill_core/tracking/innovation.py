# SPDX-License-Identifier: Apache-2.0
"""How far single heat maps lately lay from the track: a running mean square along the vehicle's axes."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.types import Array

_LARGEST = np.array([3.0, 3.0, math.radians(10.0)])


class Innovation:
    """Mean squares [3] (along m, across m, yaw rad), forgotten over `distance_m` of driving or a minute at rest."""

    def __init__(self, distance_m: float) -> None:
        self._distance_m = distance_m
        self.mean_sq = np.zeros(3)
        self._weight = 0.0

    def learn(self, offset: Array, distance_m: float, seconds: float) -> None:
        """Take the offset [3] of a heat map's pose from the track, in the vehicle's axes, after a step."""
        keep = math.exp(-distance_m / self._distance_m - seconds / 60.0)
        self._weight = keep * self._weight + (1.0 - keep)
        if self._weight > 0.0:
            share = (1.0 - keep) / self._weight
            self.mean_sq = self.mean_sq + share * (np.minimum(np.abs(offset), _LARGEST) ** 2 - self.mean_sq)
