# SPDX-License-Identifier: Apache-2.0
"""Recorded messages back onto DDS: the encoded bytes as they are, at the pace of the recording, with `/clock`."""

from __future__ import annotations

import heapq
import importlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from statistics import median
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock  # type: ignore[import-untyped, unused-ignore]

from geodistill_core.bags.source import BagSource, RawMessage
from geodistill_core.bags.topics import StreamKind
from geodistill_ros.replay.cdr import header_stamp_ns, with_stamp_zero

CLOCK_PERIOD_S = 0.02
# Recording and header clocks may differ by hours; below this the difference is the sensor's own delay.
CLOCK_OFFSET_LIMIT_NS = 500_000_000
_OFFSET_SAMPLE = 20


class Player:
    """Plays the streams of a bag that the node listens to.

    `published` lists the stamp of each image and the monotonic time when it was sent. Nothing is re-stamped.
    Instead `/clock` carries the time of recording, moved onto the clock of the headers where the two differ by
    more than half a second, and the node runs with `use_sim_time`.
    """

    def __init__(self, node: Node, source: BagSource, topics: Mapping[StreamKind, str], rate: float) -> None:
        self._source, self._topics, self._rate = source, dict(topics), rate
        self._image_topic = self._topics[StreamKind.IMAGE]
        self._clock = node.create_publisher(Clock, "/clock", QoSProfile(depth=1))
        self._publishers: dict[str, Any] = {
            topic: node.create_publisher(_message_class(source.topics[topic].msgtype), topic, 10)
            for topic in self._topics.values()
        }
        self.clock_offset_ns = self._find_clock_offset()
        self.published: list[tuple[int, float]] = []
        self.lateness_ms: list[float] = []

    def matched(self) -> bool:
        """Whether somebody listens to every topic."""
        return all(p.get_subscription_count() for p in (self._clock, *self._publishers.values()))

    def prime(self) -> None:
        """Set the clock to the start; send the first CameraInfo, which drivers latch or repeat, and a probe.

        The probe is the first image with a stamp of zero, which the node counts and refuses.
        """
        self._tick(self._source.start_ns)
        info = self._topics.get(StreamKind.CAMERA_INFO)
        if info is not None:
            self._publishers[info].publish(self._first(info))
        self._publishers[self._image_topic].publish(with_stamp_zero(self._first(self._image_topic)))

    def play(self, on_image: Callable[[], None], check: Callable[[], None] = lambda: None) -> None:
        """Publish everything at recording pace times rate.

        `on_image` is called after each image; `check` before each message and while waiting for one, and ends
        playing by raising.
        """
        began_s = time.monotonic()
        for message in self._in_order():
            due_s = began_s + (message.log_ns - self._source.start_ns) * 1e-9 / self._rate
            self._tick_until(due_s, message.log_ns, check)
            self._tick(message.log_ns)
            if message.topic == self._image_topic:
                now_s = time.monotonic()
                self.published.append((header_stamp_ns(message.cdr), now_s))
                self.lateness_ms.append((now_s - due_s) * 1e3)
            self._publishers[message.topic].publish(message.cdr)
            if message.topic == self._image_topic:
                on_image()

    def _first(self, topic: str) -> bytes:
        return next(iter(self._source.messages([topic]))).cdr

    def _in_order(self) -> Iterator[RawMessage]:
        """Recording order; among messages of one instant the image comes last, as behind its sensors."""
        group: list[tuple[bool, int, RawMessage]] = []
        for number, message in enumerate(self._source.messages(list(self._publishers))):
            if group and message.log_ns != group[0][2].log_ns:
                yield from (heapq.heappop(group)[2] for _ in range(len(group)))
            heapq.heappush(group, (message.topic == self._image_topic, number, message))
        yield from (heapq.heappop(group)[2] for _ in range(len(group)))

    def _find_clock_offset(self) -> int:
        images = islice(self._source.messages([self._image_topic]), _OFFSET_SAMPLE)
        offset = int(median(image.log_ns - header_stamp_ns(image.cdr) for image in images))
        return offset if abs(offset) > CLOCK_OFFSET_LIMIT_NS else 0

    def _tick_until(self, due_s: float, log_ns: int, check: Callable[[], None]) -> None:
        """Keep the clock running until a message is due."""
        check()
        while (left_s := due_s - time.monotonic()) > 0:
            threading.Event().wait(min(left_s, CLOCK_PERIOD_S))
            check()
            self._tick(log_ns - int(max(due_s - time.monotonic(), 0.0) * self._rate * 1e9))

    def _tick(self, log_ns: int) -> None:
        now_ns = log_ns - self.clock_offset_ns
        stamp = Time(sec=now_ns // 1_000_000_000, nanosec=now_ns % 1_000_000_000)
        self._clock.publish(Clock(clock=stamp))


def _message_class(msgtype: str) -> Any:
    package, _, name = msgtype.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)
