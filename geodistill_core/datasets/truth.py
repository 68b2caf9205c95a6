# SPDX-License-Identifier: Apache-2.0
"""Where a vehicle really was: used by evaluation and by data sets, never by a localizer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geodistill_core.errors import ConfigError
from geodistill_core.types import GeoPoint


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth of the base frame's ground point: WGS-84 degrees and ENU yaw (0 = east, counter-clockwise)."""

    latitude: float
    longitude: float
    yaw_enu_rad: float

    def __post_init__(self) -> None:
        GeoPoint(self.latitude, self.longitude)
        if not math.isfinite(self.yaw_enu_rad):
            raise ConfigError(f"truth yaw_enu_rad {self.yaw_enu_rad} is not finite")

    @property
    def point(self) -> GeoPoint:
        """The position."""
        return GeoPoint(self.latitude, self.longitude)
