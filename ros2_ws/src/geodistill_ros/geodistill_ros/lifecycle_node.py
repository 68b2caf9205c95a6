# SPDX-License-Identifier: Apache-2.0
"""The node `geodistill`: configure loads, activate listens, deactivate keeps the model, cleanup frees."""

from __future__ import annotations

import json
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry, Path
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import InvalidHandle
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, NavSatFix
from std_srvs.srv import Trigger

from geodistill_core.errors import GeodistillError
from geodistill_ros.conditions import ERROR, Health, judge
from geodistill_ros.declare import DeclaredParameters
from geodistill_ros.diagnostics import diagnostic_array
from geodistill_ros.engine import EngineFactory, load_engine
from geodistill_ros.guards import ThrottledLog, guarded
from geodistill_ros.health import health_of
from geodistill_ros.qos_events import QosReportingNode
from geodistill_ros.services import offer_services
from geodistill_ros.session import Session

NODE_NAME = "geodistill"
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def sensor_qos(depth: int) -> QoSProfile:
    """Best effort: matches reliable and best-effort publishers alike."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)


class LocalizerNode(QosReportingNode):
    """Camera and GNSS in, pose with covariance out."""

    def __init__(self, engine_factory: EngineFactory = load_engine, **node_arguments: Any) -> None:
        super().__init__(NODE_NAME, automatically_declare_parameters_from_overrides=True, **node_arguments)
        self._log = ThrottledLog(self.get_logger())
        self._factory = engine_factory
        self._session: Session | None = None
        self._state = "unconfigured"
        self._refusal = ""
        self._inputs: dict[str, Any] = {}
        self._declared = DeclaredParameters(self, lambda: self._session is None)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        settings = self._declared.current()
        self.create_timer(settings.diagnostics_period_s, self._guard("diagnostics", self.report), clock=steady)
        self.create_service(Trigger, "~/status", self._on_status)
        offer_services(self, lambda: self._session, self._guard)
        backward = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self._jumps = self.get_clock().create_jump_callback(backward, post_callback=self._guard("clock", self._on_jump))
        if settings.autostart:
            self._autostart = self.create_timer(0.0, self._on_autostart, clock=steady)

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, open map and model. FAILURE leaves the node unconfigured, to be tried again."""
        try:
            settings = self._declared.settings()
            started = time.monotonic()
            self._session = Session(self, self._factory, self._declared.current, self.counters, self._log)
        except Exception as error:
            expected = isinstance(error, GeodistillError)
            self._refusal = f"configure refused: {error if expected else f'{type(error).__name__}: {error}'}"
            self.get_logger().error(self._refusal)
            self.report()
            return FAILURE
        self._refusal, self._state = "", "inactive"
        took = time.monotonic() - started
        self.get_logger().info(f"configured: model {settings.model}, map {settings.map}, {took:.1f} s")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the publishers, then listen."""
        result = super().on_activate(state)
        assert self._session is not None
        self._session.activate()
        self._subscribe(self._session)
        self._state = "active"
        self.get_logger().info("active")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; model and map stay."""
        self._stop_inputs()
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free model, map and publishers."""
        self._free()
        self._state = "unconfigured"
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from any state."""
        self._stop_inputs()
        self._free()
        self._state = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition failed unexpectedly: free everything and return to unconfigured."""
        self._stop_inputs()
        self._free()
        self._state = "unconfigured"
        return SUCCESS

    def destroy_node(self) -> None:
        """Free everything, then the node."""
        self._stop_inputs()
        self._free()
        super().destroy_node()

    # Inputs

    def _subscribe(self, session: Session) -> None:
        settings = self._declared.current()
        compressed = settings.image_transport == "compressed"
        topic, kind = ("image/compressed", CompressedImage) if compressed else ("image", Image)
        lost = SubscriptionEventCallbacks(
            message_lost=lambda event: self.counters.add("images.lost", event.total_count_change)
        )
        self._listen(NavSatFix, "fix", session.on_fix, 10)
        if settings.heading_source in ("imu", "course"):
            self._listen(Imu, "imu", session.sensors.on_imu, 50)
        self._listen(Odometry, "odometry", session.on_odometry, 50)
        self._listen(Path, "path", session.on_path, 1)
        if settings.output == "tracked":
            self._listen(PoseWithCovarianceStamped, "initialpose", session.on_initial_pose, 1)
        if settings.camera_kind == "pinhole":
            self._listen(CameraInfo, "camera_info", session.camera.on_camera_info, 1)
        # Last: an executor serves what is ready in this order, and sensors should be there before the image.
        self._listen(kind, topic, session.on_image, 1, event_callbacks=lost)

    def _listen(self, kind: Any, topic: str, callback: Any, depth: int, **more: Any) -> None:
        name = topic.split("/", maxsplit=1)[0]
        self._inputs[name] = self.create_subscription(
            kind, topic, self._guard(name, callback), sensor_qos(depth), **more
        )

    def _stop_inputs(self) -> None:
        for subscription in self._inputs.values():
            self.destroy_subscription(subscription)
        self._inputs.clear()
        if self._session is not None:
            self._session.deactivate()

    def _free(self) -> None:
        session, self._session = self._session, None
        if session is not None and not session.close():
            self.get_logger().warning("an inference still runs; its memory is freed when it ends")

    # Reports

    def report(self) -> None:
        """Publish `/diagnostics` now."""
        health = self._health()
        stamp = self.get_clock().now().to_msg()
        model = self._declared.current().model
        self._diagnostics.publish(
            diagnostic_array(health, stamp, f"{self.get_fully_qualified_name()}: localizer", model)
        )

    def _on_status(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """`~/status`: the diagnostics as JSON, at once."""
        self._guard("status", self._fill_status)(response)
        return response

    def _fill_status(self, response: Trigger.Response) -> None:
        health = self._health()
        level, sentence = judge(health)
        response.success = level < ERROR
        response.message = json.dumps({"level": level, "message": sentence, "values": health.values})
        self.report()

    def _health(self) -> Health:
        return health_of(
            self._session,
            self._declared.current(),
            self.counters,
            state=self._state,
            refusal=self._refusal,
            publishers={name: _publisher_count(s) for name, s in list(self._inputs.items())},
        )

    # Helpers

    def _on_jump(self, jump: TimeJump) -> None:
        if self._session is not None:
            self.get_logger().warning(
                f"clock jump {jump.delta.nanoseconds * 1e-9:.2f} s: sensor history and track are forgotten"
            )
            self._session.on_clock_jump_back()

    def _on_autostart(self) -> None:
        self._autostart.cancel()
        if self.trigger_configure() is SUCCESS:
            self.trigger_activate()

    def _guard(self, name: str, callback: Any) -> Any:
        return guarded(name, self.counters, self._log, callback)


def _publisher_count(subscription: Any) -> int:
    try:
        return int(subscription.get_publisher_count())
    except InvalidHandle:  # deactivated in the same moment
        return 0
