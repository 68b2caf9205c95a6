# SPDX-License-Identifier: Apache-2.0
"""A grid of points over the earth, so that neighbouring positions share one."""

from __future__ import annotations

import math

from geodistill_core.types import GeoPoint

_DEGREE_M = 111_320.0


def nearest_node(point: GeoPoint, pitch_m: float) -> GeoPoint:
    """The grid point nearest to a position; its neighbours are about `pitch_m` metres north and east of it."""
    step = pitch_m / _DEGREE_M
    latitude = round(point.latitude / step) * step
    stretch = step / max(math.cos(math.radians(round(latitude))), 0.01)
    return GeoPoint(latitude, round(point.longitude / stretch) * stretch)
