# SPDX-License-Identifier: Apache-2.0
"""Three ways to know the position against the track: the image alone, GNSS alone, and dead reckoning."""

from __future__ import annotations

from collections import deque

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.tracking.gates import CHI_SQ_999, Separation
from geodistill_core.tracking.motion import Motion
from geodistill_core.tracking.summary import in_vehicle_axes
from geodistill_core.types import Array

_REACH_NS = 5_000_000_000
_SCALE_SIGMA, _LEAST_M = 0.05, 0.3


class Separations:
    """Judges each solution once per image; `sentence` tells the first that is suspect."""

    def __init__(self, lasting_s: float) -> None:
        self.image = Separation("the image", CHI_SQ_999[3], 2.0 * lasting_s)
        self.gnss = Separation("GNSS", CHI_SQ_999[2], lasting_s)
        self.reckoning = Separation("dead reckoning", CHI_SQ_999[2], lasting_s)
        self.gnss_offset = np.zeros(2)
        self._past: deque[tuple[int, Array, Array, float]] = deque(maxlen=512)
        self._reckoned = np.zeros(3)
        self._way_m = 0.0

    def forget_way(self) -> None:
        """Begin the comparison with dead reckoning anew, because the plane moved."""
        self._past.clear()

    def sentence(self) -> str:
        """What to tell an operator; empty where all agree."""
        return next((s.sentence() for s in (self.gnss, self.image, self.reckoning) if s.suspect), "")

    def judge_image(self, seen: Array, seen_covariance: Array, pose: Array, covariance: Array, stamp_ns: int) -> None:
        """The pose of the heat map alone against the prediction without it, both [3] with covariances."""
        off = seen - pose
        off[2] = wrap(off[2])
        self.image.judge(off, seen_covariance + covariance, stamp_ns)

    def judge_gnss(self, fix: Array, spread_m: float, pose: Array, covariance: Array, stamp_ns: int) -> None:
        """A fix [2], whose bias and noise have sigma `spread_m` per axis, against the track."""
        self.gnss_offset = fix - pose[:2]
        self.gnss.judge(self.gnss_offset, covariance[:2, :2] + spread_m**2 * np.eye(2), stamp_ns)

    def judge_reckoning(self, motion: Motion, pose: Array, covariance: Array, stamp_ns: int) -> None:
        """The way of the last five seconds by odometry against that of the track."""
        if motion.measured_s < 0.9 * motion.seconds:
            self._past.clear()
        c, s = np.cos(self._reckoned[2]), np.sin(self._reckoned[2])
        step = (c * motion.ahead_m - s * motion.left_m, s * motion.ahead_m + c * motion.left_m, motion.turn_rad)
        self._reckoned = self._reckoned + step
        self._way_m += motion.distance_m
        self._past.append((stamp_ns, np.concatenate([pose, self._reckoned]), covariance, self._way_m))
        while len(self._past) > 2 and stamp_ns - self._past[1][0] >= _REACH_NS:
            self._past.popleft()
        then_ns, then, before, way_m = self._past[0]
        if stamp_ns - then_ns < _REACH_NS:
            return
        tracked = in_vehicle_axes(pose - then[:3], float(then[2]))
        reckoned = in_vehicle_axes(self._reckoned - then[3:], float(then[5]))
        driven_m = self._way_m - way_m
        # a heading that was off by its sigma turns the whole way
        variance = (_SCALE_SIGMA * driven_m) ** 2 + _LEAST_M**2 + before[2, 2] * driven_m**2
        spread = float(np.trace(before[:2, :2]) + np.trace(covariance[:2, :2])) / 2
        self.reckoning.judge(tracked[:2] - reckoned[:2], (variance + spread) * np.eye(2), stamp_ns)
