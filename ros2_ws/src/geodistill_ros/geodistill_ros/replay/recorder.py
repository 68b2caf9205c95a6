# SPDX-License-Identifier: Apache-2.0
"""The node's answers into an MCAP file, as received, under their own topics and stamps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, NavSatFix

from geodistill_core.bags.writer import BagWriter
from geodistill_ros.replay.cdr import header_stamp_ns

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_ANSWERS = QoSProfile(depth=100)


class Recorder:
    """Subscribes to everything the node says; `received_s` holds the arrival of each pose by its stamp."""

    def __init__(self, node: Node, writer: BagWriter, name: str = "geodistill") -> None:
        self._writer = writer
        self._lock = threading.Condition()
        self._closed = False
        self.received_s: dict[int, float] = {}
        self.pose_topic = f"/{name}/pose"
        for topic, kind, msgtype, qos in (
            (self.pose_topic, PoseWithCovarianceStamped, "geometry_msgs/msg/PoseWithCovarianceStamped", _ANSWERS),
            (f"/{name}/fix", NavSatFix, "sensor_msgs/msg/NavSatFix", _ANSWERS),
            (f"/{name}/overlay", Image, "sensor_msgs/msg/Image", _ANSWERS),
            (f"/{name}/datum", NavSatFix, "sensor_msgs/msg/NavSatFix", _LATCHED),
            ("/diagnostics", DiagnosticArray, "diagnostic_msgs/msg/DiagnosticArray", _ANSWERS),
        ):
            writer.add_topic(topic, msgtype, latched=qos is _LATCHED)
            node.create_subscription(kind, topic, self._taking(topic), qos, raw=True)

    def wait_for_poses(self, count: int, timeout_s: float) -> bool:
        """Wait until `count` poses have arrived; False where they did not."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self.received_s) >= count, timeout_s)

    def close(self) -> None:
        """Record no more; the writer may be closed afterwards."""
        with self._lock:
            self._closed = True

    def _taking(self, topic: str) -> Callable[[Any], None]:
        def take(cdr: bytes) -> None:
            now_s = time.monotonic()
            with self._lock:
                if self._closed:
                    return
                stamp_ns = header_stamp_ns(cdr)
                if topic == self.pose_topic:
                    self.received_s[stamp_ns] = now_s
                    self._lock.notify_all()
                self._writer.write_cdr(topic, cdr, max(stamp_ns, 0))

        return take
