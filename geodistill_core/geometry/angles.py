# SPDX-License-Identifier: Apache-2.0
"""Angles in radians. Yaw is ENU (0 = east, counter-clockwise); a bearing is 0 = north, clockwise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.vectors import Number, modulo

# Below this mean resultant length the samples cancel and their direction is rounding noise.
_MIN_RESULTANT = 1e-9


def wrap(angle_rad: Number) -> Number:
    """The equivalent angle in [-pi, pi); NaN and infinity give NaN."""
    return modulo(angle_rad, math.pi)


def yaw_from_bearing(bearing_rad: Number) -> Number:
    """ENU yaw in [-pi, pi) of a compass bearing."""
    return wrap(math.pi / 2.0 - bearing_rad)


def bearing_from_yaw(yaw_enu_rad: Number) -> Number:
    """Compass bearing in [-pi, pi) of an ENU yaw."""
    return wrap(math.pi / 2.0 - yaw_enu_rad)


def circular_mean(angle_rad: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Direction of the (weighted) sum of unit vectors, in [-pi, pi).

    Raises ConfigError for no samples, and for samples that cancel: those have no mean direction.
    """
    angle = np.asarray(angle_rad, np.float64)
    weights = np.ones_like(angle) if weight is None else np.asarray(weight, np.float64)
    total = float(np.sum(weights))
    if angle.size == 0 or not total > 0.0:
        raise ConfigError(f"circular mean of {angle.size} angles of total weight {total}; give at least one")
    cosine = float(np.sum(weights * np.cos(angle))) / total
    sine = float(np.sum(weights * np.sin(angle))) / total
    if not math.hypot(cosine, sine) > _MIN_RESULTANT:
        raise ConfigError(f"the {angle.size} angles cancel (resultant under {_MIN_RESULTANT}): no mean direction")
    return wrap(math.atan2(sine, cosine))
