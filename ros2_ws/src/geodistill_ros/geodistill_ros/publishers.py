# SPDX-License-Identifier: Apache-2.0
"""What the node publishes about the world: pose, fix, datum, and two pictures on request."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, NavSatFix

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.overlay import render_overlay
from geodistill_core.types import Estimate, Prior
from geodistill_ros.messages import datum_message, fix_message, heatmap_message, image_message, pose_message
from geodistill_ros.parameters import NodeParameters

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """The publishers of one configured session; silent unless the node is active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._pose = node.create_lifecycle_publisher(PoseWithCovarianceStamped, "~/pose", 10)
        self._fix = node.create_lifecycle_publisher(NavSatFix, "~/fix", 10)
        self._overlay = node.create_lifecycle_publisher(Image, "~/overlay", 1)
        self._heatmap = node.create_lifecycle_publisher(OccupancyGrid, "~/heatmap", LATCHED)
        self._datum = node.create_lifecycle_publisher(NavSatFix, "~/datum", LATCHED)

    def answer(self, estimate: Estimate, datum: LocalFrame, settings: NodeParameters) -> None:
        """Publish pose and fix; raises CovarianceError before anything is published."""
        pose = pose_message(estimate, datum, settings)
        fix = fix_message(estimate, settings)
        self._pose.publish(pose)
        self._fix.publish(fix)

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
        for publisher in (self._pose, self._fix, self._overlay, self._heatmap, self._datum):
            self._node.destroy_lifecycle_publisher(publisher)


def _wanted(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
