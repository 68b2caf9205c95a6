# SPDX-License-Identifier: Apache-2.0
"""Publishers and subscriptions whose quality of service keeps them from hearing each other are counted and logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import qos_policy_name_from_kind

from geodistill_ros.counters import Counters

PREFIX = "qos.incompatible."


class QosReportingNode(LifecycleNode):
    """A lifecycle node that counts `qos.incompatible.TOPIC` for everything it publishes and subscribes."""

    def __init__(self, node_name: str, **node_arguments: Any) -> None:
        self.counters = Counters()
        super().__init__(node_name, **node_arguments)

    def create_publisher(self, msg_type: Any, topic: str, *arguments: Any, **more: Any) -> Any:
        """See `Node`."""
        return super().create_publisher(msg_type, topic, *arguments, **self._publishing(topic, more))

    def create_lifecycle_publisher(self, msg_type: Any, topic: str, *arguments: Any, **more: Any) -> Any:
        """See `LifecycleNode`."""
        return super().create_lifecycle_publisher(msg_type, topic, *arguments, **self._publishing(topic, more))

    def create_subscription(self, msg_type: Any, topic: str, *arguments: Any, **more: Any) -> Any:
        """See `Node`."""
        events = more.get("event_callbacks") or SubscriptionEventCallbacks()
        events.incompatible_qos = events.incompatible_qos or self._counting(topic, "a publisher is not heard")
        return super().create_subscription(msg_type, topic, *arguments, **{**more, "event_callbacks": events})

    def _publishing(self, topic: str, more: dict[str, Any]) -> dict[str, Any]:
        events = more.get("event_callbacks") or PublisherEventCallbacks()
        events.incompatible_qos = events.incompatible_qos or self._counting(topic, "a subscriber hears nothing")
        return {**more, "event_callbacks": events}

    def _counting(self, topic: str, what: str) -> Callable[[Any], None]:
        name = topic.lstrip("~/").split("/", maxsplit=1)[0]

        def count(event: Any) -> None:
            self.counters.add(PREFIX + name, max(event.total_count_change, 0))
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self.get_logger().warning(f"{name}: {what}, its quality of service does not fit: {policy}")

        return count
