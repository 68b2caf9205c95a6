# SPDX-License-Identifier: Apache-2.0
"""Factors on sigmas from standardised errors, and multiples of sigma that hold an error but for a stated risk."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.types import Array

LARGEST_SIGMAS = 6.0
"""An error counts as at most so many sigmas: a blunder is no question of scale."""
MARGIN_CONFIDENCE = 0.95
SCALE_LIMITS = (0.1, 30.0)
_BISECTIONS = 50


def winsorised_mean_square(standardised: Array, largest: float = LARGEST_SIGMAS) -> float:
    """Mean of min(z^2, largest^2) over its expectation for a standard normal z: 1 where errors are as claimed."""
    z_sq = np.minimum(np.asarray(standardised, dtype=np.float64) ** 2, largest**2)
    return float(z_sq.mean()) / _expected(largest)


def _expected(c: float) -> float:
    """E min(z^2, c^2) of a standard normal z."""
    normal = NormalDist()
    beyond = 2.0 * (1.0 - normal.cdf(c))
    return 1.0 - beyond - 2.0 * c * normal.pdf(c) + c**2 * beyond


def fit_scale(standardised: Callable[[float], Array], limits: tuple[float, float] = SCALE_LIMITS) -> float:
    """The factor s at which `standardised(s)`, errors over sigmas that grow with s, have a winsorised mean square of 1.

    A limit where no factor within them has: sigmas that no scale makes small enough are left at the lower one.
    """
    low, high = (math.log(limit) for limit in limits)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if winsorised_mean_square(standardised(math.exp(middle))) > 1.0 else (low, middle)
    return math.exp((low + high) / 2.0)


def least_samples(risk: float, confidence: float = MARGIN_CONFIDENCE) -> int:
    """How many samples bound the (1 - risk) quantile from above: with fewer, even the largest may lie below it.

    Raises:
        ConfigError: the risk is outside (0, 1).
    """
    if not 0.0 < risk < 1.0:
        raise ConfigError(f"risk {risk} is outside (0, 1)")
    return math.ceil(math.log(1.0 - confidence) / math.log1p(-risk))


def protection_factor(standardised: Array, risk: float, confidence: float = MARGIN_CONFIDENCE) -> float:
    """An upper bound, held with `confidence`, of the (1 - risk) quantile of |z|, from N independent samples.

    The k-th smallest, where k is the least for which a binomial(N, 1 - risk) lies below k with that confidence:
    free of any assumption about the distribution.

    Raises:
        ConfigError: there are fewer than `least_samples`.
    """
    ordered = np.sort(np.abs(np.asarray(standardised, dtype=np.float64)))
    count, least = len(ordered), least_samples(risk, confidence)
    if count < least:
        raise ConfigError(
            f"{count} samples cannot bound an error at a risk of {risk:g} with {confidence:.0%} confidence; "
            f"take at least {least}, or state a larger risk"
        )
    # how many lie beyond the quantile is binomial(N, risk); the bound leaves out as many of the largest as it may
    beyond, passed = 0, (1.0 - risk) ** count
    term = passed
    while True:
        term *= (count - beyond) / (beyond + 1) * risk / (1.0 - risk)
        if passed + term > 1.0 - confidence:
            return float(ordered[count - 1 - beyond])
        beyond, passed = beyond + 1, passed + term
