# SPDX-License-Identifier: Apache-2.0
"""What the node publishes about the world: pose, fix, odometry, state, datum, and two pictures on request."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, NavSatFix
from std_msgs.msg import String

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.overlay import render_overlay
from geodistill_core.types import Estimate, Prior
from geodistill_ros.messages import (
    StampedPose,
    datum_message,
    fix_message,
    heatmap_message,
    image_message,
    pose_message,
)
from geodistill_ros.parameters import NodeParameters

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Two changes may follow at once, and both are to arrive.
CHANGES = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """The publishers of one configured session; silent unless the node is active.

    `~/likelihood` takes the place of `~/pose` and `~/fix` where that is the output, and only a track has `~/odometry`
    and `~/state`.
    """

    def __init__(self, node: LifecycleNode, output: str) -> None:
        self._node = node
        self._made: list[Any] = []
        self._overlay = self._make(Image, "~/overlay", 1)
        self._heatmap = self._make(OccupancyGrid, "~/heatmap", LATCHED)
        self._datum = self._make(NavSatFix, "~/datum", LATCHED)
        self._fix = None
        if output == "likelihood":
            self._pose = self._make(PoseWithCovarianceStamped, "~/likelihood", 10)
        else:
            self._pose = self._make(PoseWithCovarianceStamped, "~/pose", 10)
            self._fix = self._make(NavSatFix, "~/fix", 10)
        if output == "tracked":
            self._odometry = self._make(Odometry, "~/odometry", 10)
            self._state = self._make(String, "~/state", CHANGES)

    def answer(self, pose: StampedPose, datum: LocalFrame, settings: NodeParameters) -> None:
        """Publish a pose, and its place on earth; raises CovarianceError before anything is published."""
        message, fix = pose_message(pose, datum, settings), fix_message(pose, settings)
        self._pose.publish(message)
        if self._fix is not None:
            self._fix.publish(fix)

    def odometry(self, message: Odometry) -> None:
        """Publish where the vehicle is now."""
        self._odometry.publish(message)

    def state(self, state: str) -> None:
        """Publish the state of the track, for everybody who comes later, too."""
        self._state.publish(String(data=state))

    def illustrate(self, estimate: Estimate, datum: LocalFrame, prior: Prior, settings: NodeParameters) -> None:
        """Publish the pictures that parameters ask for and somebody listens to."""
        if settings.publish_overlay and _wanted(self._overlay):
            picture = render_overlay(estimate, prior=prior.point)
            self._overlay.publish(image_message(picture, estimate.stamp_ns, settings.map_frame))
        if settings.publish_heatmap and _wanted(self._heatmap):
            self._heatmap.publish(heatmap_message(estimate, datum, settings))

    def datum(self, datum: LocalFrame, stamp_ns: int, settings: NodeParameters) -> None:
        """Publish the origin of the map frame for everybody who comes later, too."""
        self._datum.publish(datum_message(datum.origin, stamp_ns, settings))

    def close(self) -> None:
        """Remove the publishers."""
        for publisher in self._made:
            self._node.destroy_lifecycle_publisher(publisher)

    def _make(self, kind: Any, topic: str, qos: QoSProfile | int) -> Any:
        self._made.append(self._node.create_lifecycle_publisher(kind, topic, qos))
        return self._made[-1]


def _wanted(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
