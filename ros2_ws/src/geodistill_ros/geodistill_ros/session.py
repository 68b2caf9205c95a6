# SPDX-License-Identifier: Apache-2.0
"""Everything that exists between `configure` and `cleanup`: engine, worker, sensor buffer, publishers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.lifecycle import LifecycleNode

from geodistill_core.bags.messages import stamp_ns
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint
from geodistill_ros.camera import CameraState
from geodistill_ros.counters import Counters
from geodistill_ros.engine import EngineFactory
from geodistill_ros.fallback import SteadyLocalizer
from geodistill_ros.guards import ThrottledLog, guarded
from geodistill_ros.image_watch import ImageWatch
from geodistill_ros.map_ahead import MapAhead
from geodistill_ros.mount import open_mount
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.pipeline import Answer, Job, Pipeline
from geodistill_ros.publishers import Outputs
from geodistill_ros.sensors import SensorInputs
from geodistill_ros.stamps import StampGate
from geodistill_ros.worker import Worker

_CLOSE_TIMEOUT_S = 2.0


class Session:
    """A configured node. Message callbacks only validate and store; the worker thread does the rest."""

    def __init__(
        self,
        node: LifecycleNode,
        factory: EngineFactory,
        settings: Callable[[], NodeParameters],
        counters: Counters,
        log: ThrottledLog,
    ) -> None:
        """Open everything; raises GeodistillError for what cannot be used, and then leaves nothing behind."""
        self._node = node
        self._settings = settings
        self._counters = counters
        self.active_since_s: float | None = None
        self.arrivals_s: dict[str, float] = {}
        self.sensors = SensorInputs(settings, counters)
        self.camera = CameraState(settings().camera_kind, counters)
        self.images = ImageWatch()
        self._gate = StampGate()
        self.datum = _configured_datum(settings())
        with ExitStack() as undo:
            self.mount = open_mount(settings(), node)
            undo.callback(self.mount.close)
            self.engine = factory(settings())
            undo.callback(self.engine.close)
            self._outputs = Outputs(node)
            undo.pop_all()
        ahead = self.engine.ahead
        self.map_ahead = None if ahead is None else MapAhead(ahead, self.engine.live, counters)
        self.pipeline = Pipeline(
            localizer=SteadyLocalizer(self.engine, counters),
            sensors=self.sensors,
            camera=self.camera,
            images=self.images,
            mount=self.mount,
            sigma_height_m=settings().mount_sigma_z_m,
            publish=self._publish,
            illustrate=guarded("pictures", counters, log, self._illustrate),
            counters=counters,
            log=log,
        )
        self.worker: Worker[Job] = Worker(self.pipeline.run)

    def activate(self) -> None:
        """Start the clocks of the diagnostics; publish the datum where it is configured."""
        self.arrivals_s.clear()
        self.active_since_s = time.monotonic()
        if self.datum is not None:
            self._outputs.datum(self.datum, self._node.get_clock().now().nanoseconds, self._settings())

    def deactivate(self) -> None:
        """Take no more images; the one being worked on will not be published."""
        self.active_since_s = None
        if self.map_ahead is not None:
            self.map_ahead.rest()
        if self.worker.mailbox.clear():
            self._counters.add("dropped.deactivated")

    def close(self) -> bool:
        """Free everything; False where the worker is stuck in an inference (its thread ends with it)."""
        ended = self.worker.close(_CLOSE_TIMEOUT_S)
        self._outputs.close()
        self.mount.close()
        self.engine.close()
        return ended

    def on_image(self, msg: Any) -> None:
        """Gate an image by its stamp and leave it for the worker."""
        self.arrivals_s["image"] = time.monotonic()
        self._counters.add("images.received")
        settings, stamped_ns = self._settings(), stamp_ns(msg.header)
        now_ns = self._node.get_clock().now().nanoseconds
        self.images.arrived(stamped_ns, now_ns)
        if self._gate.is_ahead_of(now_ns, settings.max_image_future_s):
            self.on_clock_jump_back()
        reason = self._gate.check(stamped_ns, now_ns, settings.max_image_age_s, settings.max_image_future_s)
        if reason is not None:
            self._counters.add(f"dropped.{reason}")
        elif self.worker.mailbox.put(Job(msg, stamped_ns, time.monotonic())):
            self._counters.add("dropped.superseded")

    def on_fix(self, msg: Any) -> None:
        """Take a GNSS fix; the first one becomes the datum unless that is configured."""
        reading = self.sensors.on_fix(msg)
        if reading is None:
            return
        self.arrivals_s["fix"] = time.monotonic()
        if self.datum is None:
            self.datum = LocalFrame(GeoPoint(reading.latitude, reading.longitude))
            self._outputs.datum(self.datum, reading.stamp_ns, self._settings())
        if self.map_ahead is not None:
            self.map_ahead.follow(reading, self.sensors)

    def on_path(self, msg: Any) -> None:
        """Take the path that the vehicle means to follow: its map is fetched ahead."""
        if self.map_ahead is not None:
            self.map_ahead.on_path(msg, self.datum, self._settings().map_frame)

    def preload_map(self) -> tuple[bool, str]:
        """Fetch the map around the vehicle; whether that is under way, and a sentence."""
        if self.map_ahead is None:
            return False, "the engine fetches no maps"
        return self.map_ahead.preload(self._settings().map_preload_radius_m)

    def on_clock_jump_back(self) -> None:
        """The clock was set back: forget what belongs to the time before. The datum stays, the map must not move."""
        self._counters.add("clock.jumps_back")
        self._gate.reset()
        self.sensors.reset()
        if self.worker.mailbox.clear():
            self._counters.add("dropped.clock_jump")

    def _publish(self, answer: Answer) -> bool:
        """Publish from the worker thread; False where the node is not active any more."""
        if self.active_since_s is None or self.datum is None:
            return False
        self._outputs.answer(answer.estimate, self.datum, self._settings())
        self.arrivals_s["answer"] = time.monotonic()
        return True

    def _illustrate(self, answer: Answer) -> None:
        """Publish the pictures, after the pose."""
        if self.datum is not None:
            self._outputs.illustrate(answer.estimate, self.datum, answer.prior, self._settings())


def _configured_datum(settings: NodeParameters) -> LocalFrame | None:
    if math.isnan(settings.datum_latitude):
        return None
    return LocalFrame(GeoPoint(settings.datum_latitude, settings.datum_longitude))
