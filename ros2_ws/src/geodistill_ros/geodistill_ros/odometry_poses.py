# SPDX-License-Identifier: Apache-2.0
"""Where the base lies in the odometry's frame at a stamp: by tf2_ros where it is installed, else by `odometry`."""

from __future__ import annotations

import importlib
import math
from collections import deque
from typing import Any, Protocol

from geodistill_core.bags.messages import euler, stamp_ns, unit_quaternion
from geodistill_core.geometry.planar import Planar
from geodistill_ros.parameters import NodeParameters

_HISTORY = 1024
_MAX_GAP_NS = 500_000_000


class OdometryUnavailableError(Exception):
    """The base's place in the odometry's frame is not known at that stamp: no map -> odom may be claimed."""


class OdometryPoses(Protocol):
    """Source of `T_odom_base`."""

    def take(self, message: Any) -> None:
        """Hear an `Odometry` message."""

    def at(self, stamp_ns: int) -> Planar:
        """`T_odom_base` at a stamp; raises OdometryUnavailableError."""

    def reset(self) -> None:
        """Forget the past, after the clock jumped back."""

    def close(self) -> None:
        """Release subscriptions."""


class TopicPoses:
    """The poses of the `odometry` messages whose frames are those of the parameters, in between by interpolation."""

    def __init__(self, settings: NodeParameters) -> None:
        self._frames = settings.odom_frame, settings.base_frame
        self._poses: deque[tuple[int, Planar]] = deque(maxlen=_HISTORY)
        self._others = ""

    def take(self, message: Any) -> None:
        """Remember a pose of the right frames."""
        frames = message.header.frame_id, message.child_frame_id
        quaternion = unit_quaternion(message.pose.pose.orientation)
        if frames != self._frames or quaternion is None:
            self._others = f"; `odometry` is of {frames[0]!r} to {frames[1]!r}"
            return
        at_ns, position = stamp_ns(message.header), message.pose.pose.position
        pose = Planar(float(position.x), float(position.y), euler(*quaternion)[2])
        finite = all(map(math.isfinite, (pose.x_m, pose.y_m, pose.yaw_rad)))
        if finite and (not self._poses or at_ns > self._poses[-1][0]):
            self._poses.append((at_ns, pose))

    def at(self, stamp_ns: int) -> Planar:
        """Between two messages at most half a second apart, or the one nearest within that."""
        after: tuple[int, Planar] | None = None
        for before in reversed(self._poses):
            if before[0] <= stamp_ns:
                return self._between(before, after, stamp_ns)
            after = before
        if after is not None and after[0] - stamp_ns <= _MAX_GAP_NS:
            return after[1]
        raise self._unavailable(stamp_ns)

    def _between(self, before: tuple[int, Planar], after: tuple[int, Planar] | None, stamp_ns: int) -> Planar:
        if after is not None and after[0] - before[0] <= _MAX_GAP_NS:
            return before[1].towards(after[1], (stamp_ns - before[0]) / (after[0] - before[0]))
        if stamp_ns - before[0] <= _MAX_GAP_NS:
            return before[1]
        raise self._unavailable(stamp_ns)

    def _unavailable(self, stamp_ns: int) -> OdometryUnavailableError:
        odom, base = self._frames
        return OdometryUnavailableError(f"no pose of {base} in {odom} near stamp {stamp_ns}{self._others}")

    def reset(self) -> None:
        """See the protocol."""
        self._poses.clear()

    def close(self) -> None:
        """Nothing to release."""


class TfPoses:
    """Through the TF tree, whatever lies between the two frames."""

    def __init__(self, node: Any, settings: NodeParameters, tf2_ros: Any) -> None:
        self._frames = settings.odom_frame, settings.base_frame
        self._time = importlib.import_module("rclpy.time").Time
        self._error: type[Exception] = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def take(self, message: Any) -> None:
        """The tree counts, not the topic."""

    def at(self, stamp_ns: int) -> Planar:
        """The transform at that stamp."""
        try:
            found = self._buffer.lookup_transform(*self._frames, self._time(nanoseconds=stamp_ns)).transform
        except self._error as error:
            odom, base = self._frames
            raise OdometryUnavailableError(f"no transform {odom} <- {base!r}: {error}") from error
        quaternion = unit_quaternion(found.rotation)
        if quaternion is None:
            raise OdometryUnavailableError(f"the transform {self._frames[0]} <- {self._frames[1]!r} has no rotation")
        return Planar(float(found.translation.x), float(found.translation.y), euler(*quaternion)[2])

    def reset(self) -> None:
        """See the protocol."""
        self._buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def open_odometry_poses(node: Any, settings: NodeParameters) -> OdometryPoses:
    """TF where tf2_ros is installed, else the topic."""
    try:
        return TfPoses(node, settings, importlib.import_module("tf2_ros"))
    except ImportError:
        return TopicPoses(settings)
