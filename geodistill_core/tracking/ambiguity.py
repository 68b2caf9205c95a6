# SPDX-License-Identifier: Apache-2.0
"""Other places that were possible lately: a choice between places may be wrong, and is proved over the way driven."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.types import Array


class Ambiguity:
    """Covariance [3, 3] that places other than the best one add: now, or before images decided against them."""

    def __init__(self) -> None:
        self.covariance = np.zeros((3, 3))

    def learn(self, elsewhere: Array, proof: float) -> None:
        """Take what other places add now; that the choice was wrong becomes less likely by exp(-proof)."""
        kept = math.exp(-proof) * self.covariance
        self.covariance = elsewhere if np.trace(elsewhere[:2, :2]) > np.trace(kept[:2, :2]) else kept
