# SPDX-License-Identifier: Apache-2.0
"""Whether claimed covariances agree with the errors: bounds of the mean NEES, and how large the ellipses are.

The bounds hold for independent frames. Those of a drive are not: where errors are correlated by 0.9 from frame to
frame, N frames say as much about the mean NEES as a tenth of them would.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from geodistill_core.errors import ConfigError
from geodistill_core.types import Array

NEES_DOF = 3
_BISECTIONS = 80


def chi_square_quantile(probability: float, dof: float) -> float:
    """The value below which a chi-square variable with `dof` degrees of freedom lies with `probability`.

    Raises:
        ConfigError: the probability is outside (0, 1), or the degrees of freedom are not positive.
    """
    if not (0.0 < probability < 1.0 and dof > 0.0):
        raise ConfigError(f"no chi-square quantile at probability {probability} with {dof} degrees of freedom")
    half = torch.tensor(dof / 2.0, dtype=torch.float64)

    def below(value: float) -> float:
        return float(torch.special.gammainc(half, torch.tensor(value / 2.0, dtype=torch.float64)))

    low, high = 0.0, dof + 1.0
    while below(high) < probability:
        high *= 2.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return (low + high) / 2.0


def mean_bounds(count: int, dof: int = NEES_DOF, confidence: float = 0.95) -> tuple[float, float]:
    """Central interval of the mean of `count` independent squared Mahalanobis distances: chi2(dof N) / N."""
    tail = (1.0 - confidence) / 2.0
    return (
        chi_square_quantile(tail, dof * count) / count,
        chi_square_quantile(1.0 - tail, dof * count) / count,
    )


def ellipse_areas_m2(covariances: Array, probability: float = 0.95) -> Array:
    """Areas [N] of the ellipses that hold `probability`, from covariances [N, 3, 3] over east m, north m, yaw rad."""
    position = np.asarray(covariances, dtype=np.float64)[:, :2, :2]
    return np.asarray(-2.0 * math.log1p(-probability) * math.pi * np.sqrt(np.maximum(np.linalg.det(position), 0.0)))
