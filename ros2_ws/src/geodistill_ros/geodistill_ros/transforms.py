# SPDX-License-Identifier: Apache-2.0
"""map -> odom or map -> base_link on /tf (REP-105), and never beside another node that broadcasts the same."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.planar import Planar, map_from_odom
from geodistill_ros.authority import Authority
from geodistill_ros.counters import Counters
from geodistill_ros.guards import ThrottledLog, guarded
from geodistill_ros.messages import header_of
from geodistill_ros.odometry_poses import OdometryUnavailableError, open_odometry_poses
from geodistill_ros.parameters import NodeParameters

TF, TF_STATIC = "/tf", "/tf_static"
_DYNAMIC = QoSProfile(depth=100)
_STATIC = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Transforms:
    """Broadcasts what parameter `tf` asks for; raises ConfigError where tf2_msgs is missing."""

    def __init__(self, node: Any, settings: NodeParameters, counters: Counters, log: ThrottledLog) -> None:
        self._message = _tf_message()
        self._node, self._counters, self._log = node, counters, log
        self._map_frame = settings.map_frame
        self._corrects_odom = settings.tf == "map_odom"
        self._child = settings.odom_frame if self._corrects_odom else settings.base_frame
        self.authority = Authority(self._child)
        self._poses = open_odometry_poses(node, settings) if self._corrects_odom else None
        self._placed: Planar | None = None
        self._sent_ns = 0
        self._publisher = node.create_publisher(self._message, TF, _DYNAMIC)
        self._listeners: list[Any] = []

    def activate(self) -> None:
        """Listen to what others broadcast."""
        self.authority.begin()
        self._placed, self._sent_ns = None, 0
        self._listeners = [
            self._node.create_subscription(self._message, TF, self._guard(self.authority.heard), _DYNAMIC),
            self._node.create_subscription(
                self._message, TF_STATIC, self._guard(partial(self.authority.heard, static=True)), _STATIC
            ),
        ]

    def deactivate(self) -> None:
        """Listen and speak no more."""
        for listener in self._listeners:
            self._node.destroy_subscription(listener)
        self._listeners.clear()

    def on_odometry(self, message: Any) -> None:
        """Take an `Odometry` message: its pose may place the base in the odometry's frame."""
        if self._poses is not None:
            self._poses.take(message)

    def place(self, map_base: Planar, stamp_ns: int) -> None:
        """The base is there at that stamp: what is broadcast follows from it."""
        if self._poses is None:
            self._placed = map_base
            return
        try:
            self._placed = map_from_odom(map_base, self._poses.at(stamp_ns))
        except OdometryUnavailableError as error:
            self._counters.add("tf.missing.odom")
            self._log.warning("tf.missing.odom", str(error))
            self._placed = None

    def send(self, stamp_ns: int) -> None:
        """Broadcast for a stamp, unless nothing is known, somebody else speaks, or that stamp has been served."""
        if self._placed is None or stamp_ns <= self._sent_ns or not self._listeners:
            return
        other = self.authority.other()
        if other:
            self._log.error("tf.refused", other)
        if not self.authority.may_broadcast():
            self._counters.add("tf.refused")
            return
        self._sent_ns = stamp_ns
        transform = TransformStamped(header=header_of(stamp_ns, self._map_frame), child_frame_id=self._child)
        transform.transform.translation.x, transform.transform.translation.y = self._placed.x_m, self._placed.y_m
        transform.transform.rotation.z = math.sin(self._placed.yaw_rad / 2)
        transform.transform.rotation.w = math.cos(self._placed.yaw_rad / 2)
        self.authority.sent(transform)
        self._publisher.publish(self._message(transforms=[transform]))
        self._counters.add("tf.sent")

    def _guard(self, callback: Callable[[Any], None]) -> Callable[..., None]:
        return guarded("tf", self._counters, self._log, callback)

    def reset(self) -> None:
        """Forget the past, after the clock jumped back."""
        self._placed, self._sent_ns = None, 0
        if self._poses is not None:
            self._poses.reset()

    def close(self) -> None:
        """Remove publisher and subscriptions."""
        self.deactivate()
        self._node.destroy_publisher(self._publisher)
        if self._poses is not None:
            self._poses.close()


def _tf_message() -> Any:
    try:
        return importlib.import_module("tf2_msgs.msg").TFMessage
    except ImportError:
        raise ConfigError(
            "parameter 'tf' needs tf2_msgs, which is not installed (no wheel has it); install "
            "ros-$ROS_DISTRO-tf2-msgs, or set tf to 'none' and let a filter broadcast"
        ) from None
