# SPDX-License-Identifier: Apache-2.0
"""Everything that exists between `configure` and `cleanup`: engine, worker, sensor buffer, publishers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode

from geodistill_core.bags.messages import stamp_ns
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.tracking.states import TrackState, Transition
from geodistill_core.types import GeoPoint
from geodistill_ros.camera import CameraState
from geodistill_ros.counters import Counters
from geodistill_ros.debug_frames import DebugFrames
from geodistill_ros.engine import EngineFactory
from geodistill_ros.fallback import SteadyLocalizer
from geodistill_ros.guards import ThrottledLog, guarded
from geodistill_ros.image_watch import ImageWatch
from geodistill_ros.map_ahead import MapAhead
from geodistill_ros.messages import prior_of
from geodistill_ros.motion_output import MotionOutput
from geodistill_ros.mount import MountUnavailableError, open_mount
from geodistill_ros.mounting import Mounting
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.pipeline import Frame, Job, Pipeline
from geodistill_ros.publishers import Outputs
from geodistill_ros.sensors import SensorInputs
from geodistill_ros.stamps import StampGate
from geodistill_ros.tracking import Answer, Singly, Track
from geodistill_ros.transforms import Transforms
from geodistill_ros.watch import PERIOD_S, Watch
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
        self._log = log
        self.camera = CameraState(settings().camera_kind, counters)
        self.images = ImageWatch()
        self._gate = StampGate()
        self.datum = _configured_datum(settings())
        with ExitStack() as undo:
            self.mount = open_mount(settings(), node, counters)
            undo.callback(self.mount.close)
            self.transforms = None if settings().tf == "none" else Transforms(node, settings(), counters, log)
            if self.transforms is not None:
                undo.callback(self.transforms.close)
            self.engine = factory(settings())
            undo.callback(self.engine.close)
            self._outputs = Outputs(node, settings().output)
            undo.pop_all()
        self.sensors = SensorInputs(settings, counters, self.mount.antenna)
        steady = SteadyLocalizer(self.engine, counters)
        self.track = self._open_track(steady)
        self.mounting = Mounting(self.mount, settings(), self.engine.localizer, counters)
        self._motion = MotionOutput(self._outputs.odometry, self.track, self.transforms, settings)
        self.debug = DebugFrames(settings().debug_dir, counters)
        ahead = self.engine.ahead
        self.map_ahead = None if ahead is None else MapAhead(ahead, self.engine.live, counters)
        self.pipeline = Pipeline(
            answering=self.track or Singly(steady),
            sensors=self.sensors,
            camera=self.camera,
            images=self.images,
            mount=self.mounting,
            sigma_height_m=settings().mount_sigma_z_m,
            publish=self._publish,
            afterwards=guarded("afterwards", counters, log, self._afterwards),
            counters=counters,
            log=log,
        )
        self.worker: Worker[Job] = Worker(self.pipeline.run)
        self._watch: Any = None

    def activate(self) -> None:
        """Start the clocks of the diagnostics; publish the datum where it is configured."""
        self.arrivals_s.clear()
        self.active_since_s = time.monotonic()
        if self.datum is not None:
            self._outputs.datum(self.datum, self._now_ns(), self._settings())
        if self.transforms is not None:
            self.transforms.activate()
        if self.track is not None:
            self._outputs.state(str(self.track.state))
            watch = Watch(self.track, self.pipeline.progress, self._settings, self._now_ns, self._is_idle)
            look = guarded("watch", self._counters, self._log, watch.look)
            self._watch = self._node.create_timer(PERIOD_S, look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def deactivate(self) -> None:
        """Take no more images; the one being worked on will not be published."""
        self.active_since_s = None
        if self._watch is not None:
            self._node.destroy_timer(self._watch)
            self._watch = None
        if self.transforms is not None:
            self.transforms.deactivate()
        if self.map_ahead is not None:
            self.map_ahead.rest()
        if self.worker.mailbox.clear():
            self._counters.add("dropped.deactivated")

    def close(self) -> bool:
        """Free everything; False where the worker is stuck in an inference (its thread ends with it)."""
        ended = self.worker.close(_CLOSE_TIMEOUT_S)
        self._outputs.close()
        if self.transforms is not None:
            self.transforms.close()
        self.mount.close()
        self.engine.close()
        return ended

    def on_image(self, msg: Any) -> None:
        """Gate an image by its stamp and leave it for the worker."""
        self.arrivals_s["image"] = time.monotonic()
        self._counters.add("images.received")
        settings, stamped_ns = self._settings(), stamp_ns(msg.header)
        now_ns = self._now_ns()
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
        try:
            reading = self.sensors.on_fix(msg)
        except MountUnavailableError as error:
            self._counters.add("gnss.rejected.no_transform")
            self._log.warning("gnss.rejected.no_transform", str(error))
            return
        if reading is None:
            return
        self.arrivals_s["fix"] = time.monotonic()
        if self.datum is None:
            self.datum = LocalFrame(GeoPoint(reading.latitude, reading.longitude))
            self._outputs.datum(self.datum, reading.stamp_ns, self._settings())
        if self.map_ahead is not None:
            self.map_ahead.follow(reading, self.sensors)

    def on_odometry(self, msg: Any) -> None:
        """Take an odometry message: a motion reading, and the moment to say where the vehicle is."""
        self.sensors.on_odometry(msg)
        if self.active_since_s is not None:
            self._motion.on_odometry(msg, self.datum)

    def on_initial_pose(self, msg: Any) -> None:
        """Take a pose in the map frame from which the track begins anew, as RViz and Nav2 send it."""
        assert self.track is not None
        try:
            if self.datum is None:
                raise ConfigError("the map frame has no datum yet: wait for a fix, or set datum_latitude, _longitude")
            prior = prior_of(msg, self.datum, self._settings())
        except ConfigError as error:
            self._counters.add("track.priors_refused")
            self._log.warning("track.priors_refused", str(error))
            return
        self.track.set_prior(prior, stamp_ns(msg.header) or self._now_ns())
        self._counters.add("track.priors_set")

    def reset(self) -> tuple[bool, str]:
        """Forget the track; whether that is done, and a sentence."""
        if self.track is None:
            return False, f"output {self._settings().output!r} has no track"
        self.track.reset("reset was asked for", self._now_ns())
        return True, "the track is forgotten; it begins anew with the next image"

    def save_debug(self) -> tuple[bool, str]:
        """Write the last frames to `debug_dir`; whether that is done, and a sentence."""
        facts = {name: str(count) for name, count in self._counters.snapshot().items()} | self.engine.facts
        facts |= {} if self.track is None else self.track.values()
        saved, sentence = self.debug.save(self._settings().debug_max_mb * 1e6, facts)
        if self.debug.failure:
            self._log.warning("debug.failed", self.debug.failure)
        return saved, sentence

    def save_mount(self) -> tuple[bool, str]:
        """Write what is known of the camera's mounting to `mount_file`; whether that is done, and a sentence."""
        return self.mounting.save(self._settings().mount_file)

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
        self._motion.reset()
        if self.track is not None:
            self.track.reset("the clock jumped back", self._now_ns())
        if self.worker.mailbox.clear():
            self._counters.add("dropped.clock_jump")

    def _publish(self, answer: Answer) -> bool:
        """Publish from the worker thread; False where the node is not active any more."""
        if self.active_since_s is None or self.datum is None:
            return False
        pose = answer.tracked or answer.estimate
        self._outputs.answer(pose, self.datum, self._settings())
        self.arrivals_s["answer"] = time.monotonic()
        self._motion.on_answer(pose, pose.stamp_ns, self._now_ns(), self.datum)
        return True

    def _afterwards(self, frame: Frame) -> None:
        """Keep the frame, publish the pictures and learn of the mounting, after the pose."""
        self.debug.keep(frame.message, frame.prior, frame.answer)
        if self.datum is not None:
            self._outputs.illustrate(frame.answer.estimate, self.datum, frame.answer.prior, self._settings())
        self.mounting.learn(frame.image, frame.answer)

    def _open_track(self, localizer: SteadyLocalizer) -> Track | None:
        if self._settings().output != "tracked":
            return None
        tell = guarded("track", self._counters, self._log, self._tell)
        return Track(localizer, self.engine.track_calibration, self.sensors, self._counters, tell)

    def _tell(self, change: Transition) -> None:
        """Log a change of the track's state and publish the new one."""
        sentence = f"track {change.before} -> {change.after}: {change.cause}"
        # rclpy holds each line of code to one severity.
        if change.after in (TrackState.DEGRADED, TrackState.LOST, TrackState.FAULT):
            self._node.get_logger().warning(sentence)
        else:
            self._node.get_logger().info(sentence)
        self._outputs.state(str(change.after))

    def _is_idle(self) -> bool:
        """Whether no image waits or is being worked on."""
        return not self.worker.mailbox.occupied() and not self.pipeline.progress.running_s()

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def _configured_datum(settings: NodeParameters) -> LocalFrame | None:
    if math.isnan(settings.datum_latitude):
        return None
    return LocalFrame(GeoPoint(settings.datum_latitude, settings.datum_longitude))
