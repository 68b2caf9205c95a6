# SPDX-License-Identifier: Apache-2.0
"""A node under test, a tester node that talks to it over DDS, and a fake engine."""

import array
import gc
import itertools
import json
import math
import threading
import time

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geodistill_ros.counters import Counters
from geodistill_ros.engine import Engine
from geodistill_ros.lifecycle_node import LocalizerNode
from geodistill_ros.messages import header_of
from geodistill_ros.spin import spin
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, NavSatFix, NavSatStatus
from std_srvs.srv import Trigger

from geodistill_core.types import Estimate, GeoPoint, HeatMap, MapTile, Mode, Status

LATITUDE, LONGITUDE = 48.137, 11.575
LIMIT_S = 60.0
PARTICIPANTS_LEFT = 8
YAW_DEG = 30.0
# The heading is a parameter here, so that no image waits for an IMU message on another topic.
FAST_PARAMETERS = {
    "map": "anywhere",
    "output": "per_frame",
    "diagnostics_period_s": 0.1,
    "heading_source": "parameter",
    "heading_yaw_deg": YAW_DEG,
}
CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
GOALS = {CONFIGURE: "inactive", CLEANUP: "unconfigured", ACTIVATE: "active", DEACTIVATE: "inactive"}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class FakeLocalizer:
    """Answers with the prior itself; `before` runs first and may raise, wait or replace the covariance."""

    def __init__(self):
        self.seen = []
        self.covariance = np.diag([0.25, 0.36, 0.01])
        self.before = lambda image, prior: None

    def locate(self, image, prior):
        self.seen.append((image, prior))
        self.before(image, prior)
        center = GeoPoint(prior.latitude, prior.longitude)
        probability = np.zeros((3, 8, 8), np.float32)
        probability[1, 2, 5] = 0.75  # north-east of the centre
        probability[1, 5, 5] = 0.25
        heatmap = HeatMap(probability, center, 0.5, prior.yaw_enu_rad + np.array([-0.1, 0.0, 0.1]))
        tile = MapTile(np.full((64, 64, 3), 90, np.uint8), np.ones((64, 64), bool), center, 0.5, "fake", "nobody")
        mode = Mode(0.0, 0.0, prior.yaw_enu_rad, 1.0)
        return Estimate(
            image.stamp_ns, prior.latitude, prior.longitude, prior.yaw_enu_rad, self.covariance, Status.OK,
            (mode,), heatmap, tile,
        )  # fmt: skip


class Tester:
    """Talks to the node under test in `namespace`; has its own context, executor and thread."""

    __test__ = False

    def __init__(self, namespace):
        self.namespace = namespace
        self.arrived = threading.Condition()
        self.poses, self.diagnostics, self.transitions = [], [], []
        self.clock_ns = None
        self.place = LATITUDE, LONGITUDE
        self._closers = []
        self._publishers, self._clients = {}, {}

    def __enter__(self):
        self.tester = self.run(lambda **where: rclpy.create_node("tester", **where))
        self.collect(PoseWithCovarianceStamped, "geodistill/pose", self.poses, 10)
        self.collect(DiagnosticArray, "/diagnostics", self.diagnostics, 10)
        self.collect(TransitionEvent, "geodistill/transition_event", self.transitions, 10)
        return self

    def __exit__(self, *_):
        for close in reversed(self._closers):
            close()

    def run(self, make):
        """A node, spun by its own executor in its own thread until the end."""
        context = Context()
        rclpy.init(context=context)
        node = make(context=context, namespace=self.namespace, enable_rosout=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        counters = getattr(node, "counters", Counters())
        thread = threading.Thread(target=spin, args=(executor, node, counters), daemon=True)
        thread.start()

        def close():
            executor.shutdown(timeout_sec=2.0)
            thread.join(5.0)
            node.destroy_node()
            context.try_shutdown()

        self._closers.append(close)
        return node

    # Waiting for events

    def collect(self, kind, topic, into, qos):
        def take(message):
            with self.arrived:
                if kind is not DiagnosticArray or message.status[0].name.startswith(self.namespace + "/"):
                    into.append(message)
                self.arrived.notify_all()

        return self.tester.create_subscription(kind, topic, take, qos)

    def wait(self, condition, what):
        """Wait until `condition()` holds; it is asked again at every message that arrives."""
        with self.arrived:
            if not self.arrived.wait_for(condition, LIMIT_S):
                raise AssertionError(f"waited {LIMIT_S} s for {what}; node says {self.values()}")

    def wait_count(self, name, count=1):
        """Wait until the diagnostics report `name` at least `count` times."""
        self.wait(lambda: self.known(name) >= count, f"{name} >= {count}")

    def known(self, name):
        """A counter as the newest diagnostics have it."""
        return int(self.values().get(name, 0))

    def values(self):
        return {v.key: v.value for v in self.diagnostics[-1].status[0].values} if self.diagnostics else {}

    # Services

    def ask(self, kind, name, request, seconds):
        """One question; None where no answer came: it is lost while the two sides match."""
        if name not in self._clients:
            self._clients[name] = self.tester.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(LIMIT_S), name
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        return future.result() if done.wait(seconds) else None

    def call(self, kind, name, request):
        """Ask until an answer comes."""
        for _ in range(int(LIMIT_S / 2)):
            answer = self.ask(kind, name, request, 2.0)
            if answer is not None:
                return answer
        raise AssertionError(f"{name} did not answer")

    def change(self, transition):
        """Whether the transition leads to its goal; not asked again while one is under way."""
        request = ChangeState.Request(transition=Transition(id=transition))
        for _ in range(5):
            answer = self.ask(ChangeState, "geodistill/change_state", request, 2.0)
            state = self.state()
            if answer is not None or state == GOALS[transition]:
                return state == GOALS[transition]
        raise AssertionError("the node did not answer")

    def ask_for(self, transition):
        """Send the request and do not wait for the answer."""
        client = self.tester.create_client(ChangeState, "geodistill/change_state")
        assert client.wait_for_service(LIMIT_S)
        client.call_async(ChangeState.Request(transition=Transition(id=transition)))

    def ask_for_any(self, transition):
        """Send the request and wait for whatever is answered; rclpy before Kilted answers nothing to illegal ones."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.ask(ChangeState, "geodistill/change_state", request, 2.0)

    def state(self):
        return self.call(GetState, "geodistill/get_state", GetState.Request()).current_state.label

    def status(self):
        answer = self.call(Trigger, "geodistill/status", Trigger.Request())
        return answer.success, json.loads(answer.message)

    def count(self, name):
        return int(self.status()[1]["values"].get(name, 0))

    def set_parameter(self, name, value):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return self.call(SetParameters, "geodistill/set_parameters", request).results[0]

    def start(self):
        """Configure and activate; inputs are matched afterwards."""
        assert self.change(CONFIGURE)
        assert self.change(ACTIVATE)

    # Sending

    def now_ns(self):
        return self.clock_ns if self.clock_ns is not None else time.time_ns()

    def publisher(self, kind, topic, reliability=ReliabilityPolicy.RELIABLE):
        """A publisher that is matched with the node when it is returned."""
        if topic not in self._publishers:
            matched = threading.Event()
            events = rclpy.event_handler.PublisherEventCallbacks(matched=lambda info: matched.set())
            qos = QoSProfile(depth=5, reliability=reliability)
            publisher = self.tester.create_publisher(kind, topic, qos, event_callbacks=events)
            assert matched.wait(LIMIT_S), f"nobody listens to {topic}"
            self.on_matched(publisher)
            self._publishers[topic] = publisher
        return self._publishers[topic]

    def on_matched(self, publisher):
        """The publisher has found a subscription."""

    def forget_publishers(self):
        """The node's subscriptions are gone: match anew."""
        for publisher in self._publishers.values():
            self.tester.destroy_publisher(publisher)
        self._publishers.clear()

    def send_fix(self, stamp_ns=None, **fields):
        message = NavSatFix(header=header_of(stamp_ns or self.now_ns(), "gnss"))
        message.latitude, message.longitude = self.place
        message.status.status = NavSatStatus.STATUS_FIX
        message.position_covariance = [4.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 9.0]
        message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_KNOWN
        for name, value in fields.items():
            setattr(message, name, value)
        self.publisher(NavSatFix, "fix").publish(message)

    def send_imu(self, yaw_rad=0.5, stamp_ns=None, **fields):
        message = Imu(header=header_of(stamp_ns or self.now_ns(), "imu"))
        message.orientation.z, message.orientation.w = math.sin(yaw_rad / 2), math.cos(yaw_rad / 2)
        message.orientation_covariance = [1e-4, 0.0, 0.0, 0.0, 1e-4, 0.0, 0.0, 0.0, 0.01]
        for name, value in fields.items():
            setattr(message, name, value)
        self.publisher(Imu, "imu").publish(message)

    def send_odometry(self, yaw_rad=0.5, stamp_ns=None):
        message = Odometry(header=header_of(stamp_ns or self.now_ns(), "odom"))
        message.pose.pose.orientation.z = math.sin(yaw_rad / 2)
        message.pose.pose.orientation.w = math.cos(yaw_rad / 2)
        message.pose.covariance[35] = 0.01
        self.publisher(Odometry, "odometry").publish(message)

    def prepare(self):
        """A fix is in the buffer."""
        before = self.count("gnss.accepted")
        self.insist(self.send_fix, lambda: self.known("gnss.accepted") > before, "accepted fix")

    def insist(self, send, condition, what):
        """Send again until `condition()` holds: best effort may lose a message while the two sides match."""
        for _ in range(int(LIMIT_S)):
            send()
            with self.arrived:
                if self.arrived.wait_for(condition, 1.0):
                    return
        raise AssertionError(f"no {what}; node says {self.values()}")

    def send(self, message):
        kind, topic = type(message), "image" if isinstance(message, Image) else "image/compressed"
        self.publisher(kind, topic).publish(message)

    def good_frame_gets_a_pose(self, transport="compressed"):
        """The node is alive: a fix and a good image give one more pose."""
        before = len(self.poses)
        self.prepare()

        def send():
            self.send((raw_image if transport == "raw" else compressed_image)(self.now_ns()))

        self.insist(send, lambda: len(self.poses) > before, "pose for a good frame")
        return self.poses[-1]


class World(Tester):
    """The node under test in this process beside its tester; `open_engine` replaces the fake engine.

    A destroyed lifecycle node keeps its DDS participant until the garbage collector comes, and of more than 32
    participants on a machine some do not find each other.
    """

    _numbers = itertools.count()

    def __init__(self, open_engine=None, **parameters):
        number = next(self._numbers)
        if number % PARTICIPANTS_LEFT == 0:
            gc.collect()
        super().__init__(f"/world{number}")
        self.open_engine = open_engine or self._open
        self.localizer = FakeLocalizer()
        self.engine_error = None
        self.engines_opened = self.engines_closed = 0
        values = FAST_PARAMETERS | parameters
        self.overrides = [Parameter(name, value=value) for name, value in values.items()]

    def __enter__(self):
        self.node = self.run(
            lambda **where: LocalizerNode(self.open_engine, parameter_overrides=self.overrides, **where)
        )
        return super().__enter__()

    def counters(self):
        return self.node.counters.snapshot()

    def on_matched(self, publisher):
        """The node's side matches on its own; before that a best-effort message is lost."""
        listeners = [s for s in self.node.subscriptions if s.topic_name == publisher.topic_name]
        self.wait(lambda: all(s.get_publisher_count() for s in listeners), f"{publisher.topic_name} to match")

    def _open(self, settings):
        if self.engine_error is not None:
            raise self.engine_error
        self.engines_opened += 1
        return Engine(self.localizer, self._close, True, {"model": settings.model})

    def _close(self):
        self.engines_closed += 1


def picture(width=128, height=64):
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    return np.dstack([np.tile(ramp, (height, 1))] * 3)


def noise(seed, width=128, height=64):
    """A picture that no other seed gives."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def raw_image(stamp_ns, rgb=None, **fields):
    rgb = picture() if rgb is None else rgb
    message = Image(header=header_of(stamp_ns, "camera"), height=rgb.shape[0], width=rgb.shape[1])
    message.encoding, message.step = "rgb8", rgb.shape[1] * 3
    message.data = array.array("B", rgb.tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def compressed_image(stamp_ns, rgb=None, data=None):
    if data is None:
        data = cv2.imencode(".jpg", picture() if rgb is None else rgb)[1].tobytes()
    return CompressedImage(header=header_of(stamp_ns, "camera"), format="jpeg", data=array.array("B", data))


def camera_info(stamp_ns, width=128, height=64, focal_px=100.0):
    message = CameraInfo(header=header_of(stamp_ns, "camera"), width=width, height=height)
    message.distortion_model, message.d = "plumb_bob", [0.0] * 5
    message.k = [focal_px, 0.0, width / 2, 0.0, focal_px, height / 2, 0.0, 0.0, 1.0]
    return message
