# SPDX-License-Identifier: Apache-2.0
"""The node's answers into an MCAP file under their own topics and stamps; pictures become JPEG."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, NavSatFix

from geodistill_core.bags.topics import IMAGE_COMPRESSED
from geodistill_core.bags.writer import BagWriter
from geodistill_core.evaluation.live.node_pictures import heatmap_jpeg, overlay_jpeg
from geodistill_ros.replay.cdr import header_stamp_ns

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_ANSWERS = QoSProfile(depth=100)


class Recorder:
    """Subscribes to what the node says; `received_s` holds the arrival of each pose, or likelihood, by its stamp."""

    def __init__(self, node: Node, writer: BagWriter, name: str = "geodistill") -> None:
        self._writer = writer
        self._lock = threading.Condition()
        self._closed = False
        self.received_s: dict[int, float] = {}
        self._answer_topics = f"/{name}/pose", f"/{name}/likelihood"
        for topic, kind, qos in (
            (f"/{name}/datum", NavSatFix, _LATCHED),
            *((topic, PoseWithCovarianceStamped, _ANSWERS) for topic in self._answer_topics),
            (f"/{name}/fix", NavSatFix, _ANSWERS),
            (f"/{name}/odometry", Odometry, _ANSWERS),
            ("/diagnostics", DiagnosticArray, _ANSWERS),
        ):
            writer.add_topic(topic, f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}", latched=qos is _LATCHED)
            node.create_subscription(kind, topic, self._taking(topic, bytes), qos, raw=True)
        for topic, kind, encode in (
            (f"/{name}/heatmap", OccupancyGrid, heatmap_jpeg),
            (f"/{name}/overlay", Image, overlay_jpeg),
        ):
            writer.add_topic(f"{topic}/compressed", IMAGE_COMPRESSED)
            node.create_subscription(kind, topic, self._taking(f"{topic}/compressed", encode), _ANSWERS, raw=True)

    def wait_for_poses(self, count: int, timeout_s: float) -> bool:
        """Wait until `count` poses have arrived; False where they did not."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self.received_s) >= count, timeout_s)

    def close(self) -> None:
        """Record no more; the writer may be closed afterwards."""
        with self._lock:
            self._closed = True

    def _taking(self, topic: str, encode: Callable[[bytes], bytes]) -> Callable[[Any], None]:
        def take(cdr: bytes) -> None:
            now_s, stamp_ns, message = time.monotonic(), header_stamp_ns(cdr), encode(cdr)
            with self._lock:
                if self._closed:
                    return
                if topic in self._answer_topics:
                    self.received_s[stamp_ns] = now_s
                    self._lock.notify_all()
                self._writer.write_cdr(topic, message, max(stamp_ns, 0))

        return take
