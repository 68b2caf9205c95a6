# SPDX-License-Identifier: Apache-2.0
"""The mounting's yaw: a vehicle that drives straight moves along its x axis, whatever the image says its yaw is.

A camera that is turned by d makes every yaw that is read from images too large by d. Over straight pieces of road the
positions, which come from images as well but hardly feel d, tell the true direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array, GeoPoint

_OUTLIER_SIGMAS = 2.0


@dataclass(frozen=True, slots=True)
class StraightConfig:
    """Which pieces count as straight, and how far yaw and course differ there for other reasons.

    Along a gentle bend the mean yaw is the chord's direction.
    """

    piece_m: float = 15.0
    fewest_frames: int = 5
    largest_turn_rad: float = math.radians(6.0)
    largest_gap_m: float = 10.0
    sigma_rad: float = math.radians(1.0)


@dataclass
class YawFromCourse:
    """A scalar belief about the yaw offset; starts at 0 with `prior_sigma_rad`."""

    prior_sigma_rad: float
    memory: float
    config: StraightConfig = field(default_factory=StraightConfig)
    mean_rad: float = 0.0
    pieces: int = 0

    def __post_init__(self) -> None:
        self._information = 0.0
        self._frame: LocalFrame | None = None
        self._points: list[tuple[float, float, float]] = []
        self._way_m = 0.0

    @property
    def sigma_rad(self) -> float:
        """The belief's standard deviation."""
        return 1.0 / math.sqrt(1.0 / self.prior_sigma_rad**2 + self._information)

    def add(self, point: GeoPoint, yaw_enu_rad: float, moved_m: float) -> bool:
        """A position and yaw that were read from an image, `moved_m` after the last; whether that ended a piece."""
        if moved_m > self.config.largest_gap_m:
            self.interrupt()
        if self._frame is None:
            self._frame, moved_m = LocalFrame(point), 0.0
        east, north = self._frame.to_enu(point.latitude, point.longitude)
        self._points.append((float(east), float(north), yaw_enu_rad))
        self._way_m += moved_m
        if self._way_m < self.config.piece_m or len(self._points) < self.config.fewest_frames:
            return False
        difference = self._difference(np.array(self._points))
        self.interrupt()
        if difference is not None:
            self._take(*difference)
        return True

    def interrupt(self) -> None:
        """Begin a new piece with the next position."""
        self._frame, self._points, self._way_m = None, [], 0.0

    def _difference(self, points: Array) -> tuple[float, float] | None:
        """Image's yaw minus course over a piece [N, 3] and its sigma; None where it is not straight."""
        yaw = np.unwrap(points[:, 2])
        offset = points[:, :2] - points[:, :2].mean(axis=0)
        along = np.linalg.svd(offset)[2][0]
        along = along * np.sign(along @ (points[-1, :2] - points[0, :2]))
        way, aside = offset @ along, offset @ np.array([-along[1], along[0]])
        spread = float(way @ way)
        if spread == 0.0 or abs((yaw @ way) / spread) * np.ptp(way) > self.config.largest_turn_rad:
            return None
        difference = float(wrap(yaw.mean() - math.atan2(along[1], along[0])))
        if abs(difference) > math.pi / 2:  # in reverse
            difference = float(wrap(difference - math.pi))
        return difference, math.hypot(self.config.sigma_rad, math.sqrt(float((aside**2).mean()) / spread))

    def _take(self, difference_rad: float, sigma_rad: float) -> None:
        self._information *= math.exp(-1.0 / self.memory)
        innovation = difference_rad - self.mean_rad
        expected = math.hypot(sigma_rad, self.sigma_rad)
        weight = min(1.0, _OUTLIER_SIGMAS * expected / max(abs(innovation), 1e-12)) / sigma_rad**2
        self._information += weight
        self.mean_rad += weight * self.sigma_rad**2 * innovation
        self.pieces += 1
