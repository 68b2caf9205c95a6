# SPDX-License-Identifier: Apache-2.0
"""How sure an adapted network may be, without labels: no surer, measured by odometry, than the one it came from.

A temperature is fitted to weights, and the adapted network has others. The rule: the old temperature stands, unless the
new answers' disagreements with odometry, in units of their own covariances, are larger than the old ones' were; then
the temperature grows until they are not. It never falls, because a single drive is too little to become surer on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from geodistill_core.localization.estimate import EstimateConfig, estimate
from geodistill_core.types import Estimate
from geodistill_training.adapt.evidence import Answer, HeldFrame, link

LARGEST = 30.0
"""A link's normalised squared disagreement counts at most so much: a jump is no question of temperature."""
_SCALE_SIGMA = 0.05
_LARGEST_INFLATION = 8.0
_STEPS = 12


def warmer(found: Estimate, inflation: float, config: EstimateConfig) -> Estimate:
    """The estimate at a temperature `inflation` times higher (without a prior in its heat map)."""
    log_p = np.log(np.maximum(found.heatmap.probability.astype(np.float64), 1e-45)) / inflation
    probability = np.exp(log_p - log_p.max())
    heatmap = replace(found.heatmap, probability=(probability / probability.sum()).astype(np.float32))
    return estimate(heatmap, found.tile, found.stamp_ns, config)


def normalised_disagreement(frames: Sequence[HeldFrame], which: Callable[[HeldFrame], Answer | None]) -> float:
    """Mean squared disagreement with odometry over its covariance, two degrees of freedom; NaN without links."""
    values = []
    for before_frame, frame in pairwise(frames):
        before, after, since = which(before_frame), which(frame), frame.since
        if not (before and after and since) or before_frame.block != frame.block:
            continue
        apart = link(before, after, since)
        c, s = math.cos(after.yaw_enu_rad), math.sin(after.yaw_enu_rad)
        to_body = np.array([[c, s], [-s, c]])
        P = to_body @ (before.covariance + after.covariance)[:2, :2] @ to_body.T
        P = P + np.eye(2) * (_SCALE_SIGMA * since.distance_m) ** 2
        d = np.array([apart.forward_m, apart.left_m])
        values.append(min(float(d @ np.linalg.solve(P, d)), LARGEST))
    return float(np.mean(values)) if values else math.nan


def needed_inflation(disagreement: Callable[[float], float], allowed: float) -> float:
    """The least factor >= 1 on the temperature at which `disagreement(factor)` is at most `allowed`.

    Infinite where none up to 8 is enough, or where nothing can be compared.
    """
    if disagreement(1.0) <= allowed:
        return 1.0
    low, high = 1.0, _LARGEST_INFLATION
    if not disagreement(high) <= allowed:
        return math.inf
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if disagreement(middle) <= allowed else (middle, high)
    return high
