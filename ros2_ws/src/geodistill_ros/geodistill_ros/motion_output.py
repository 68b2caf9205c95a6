# SPDX-License-Identifier: Apache-2.0
"""`~/odometry` and TF: the track carried on to now, after each answer and with each odometry message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geodistill_core.bags.messages import stamp_ns
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.geometry.planar import Planar
from geodistill_core.localization.planar_pose import Posed, planar_pose
from geodistill_ros.messages import TwistSigmas, odometry_message
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.tracking import Track
from geodistill_ros.transforms import Transforms

# A message that comes a little early, as timers have it, is still in time.
_EARLY = 0.8
_FRESH_NS = 200_000_000


class MotionOutput:
    """What moves between two answers."""

    def __init__(
        self,
        publish: Callable[[Any], None],
        track: Track | None,
        transforms: Transforms | None,
        settings: Callable[[], NodeParameters],
    ) -> None:
        self._publish, self._track, self._transforms, self._settings = publish, track, transforms, settings
        self._sigmas = TwistSigmas()
        self._odometry_ns = self._sent_ns = 0

    def on_odometry(self, message: Any, datum: LocalFrame | None) -> None:
        """The vehicle moved on: say where it is now, at most at the configured rate."""
        self._odometry_ns = stamp_ns(message.header)
        self._sigmas = TwistSigmas.stated(message.twist.covariance)
        if self._transforms is not None:
            self._transforms.on_odometry(message)
        if self._track is None and self._settings().tf == "map_base":
            return  # a pose of an earlier image is not where the vehicle is now
        period_ns = 1e9 / self._settings().odometry_rate_hz
        if datum is not None and self._odometry_ns - self._sent_ns >= _EARLY * period_ns:
            self._say(self._odometry_ns, datum)

    def on_answer(self, pose: Posed, answered_ns: int, now_ns: int, datum: LocalFrame) -> None:
        """An image was answered with a pose of its stamp: correct what is broadcast, and say where the vehicle is now.

        Now is the newest odometry's stamp; without odometry the clock's.
        """
        following = self._track is None or self._track.following(answered_ns) is not None
        if self._transforms is not None and following:
            at = planar_pose(pose, datum)
            self._transforms.place(Planar(at.east_m, at.north_m, at.yaw_rad), answered_ns)
        if self._track is None:
            newest_ns = answered_ns
        else:
            newest_ns = self._odometry_ns if now_ns - self._odometry_ns < _FRESH_NS else now_ns
        self._say(max(newest_ns, answered_ns), datum)

    def reset(self) -> None:
        """Forget the past, after the clock jumped back."""
        self._odometry_ns = self._sent_ns = 0
        if self._transforms is not None:
            self._transforms.reset()

    def _say(self, at_ns: int, datum: LocalFrame) -> None:
        if at_ns <= self._sent_ns:
            return
        settings = self._settings()
        if self._track is not None:
            pose = self._track.following(at_ns)
            if pose is None:
                return
            self._publish(odometry_message(pose, datum, settings, self._sigmas))
            if self._transforms is not None and settings.tf == "map_base":
                at = planar_pose(pose, datum)
                self._transforms.place(Planar(at.east_m, at.north_m, at.yaw_rad), at_ns)
        self._sent_ns = at_ns
        if self._transforms is not None:
            self._transforms.send(at_ns)
