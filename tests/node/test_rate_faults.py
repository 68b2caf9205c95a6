# SPDX-License-Identifier: Apache-2.0
"""N19, N22, N23, N42: sensors at other rates, other qualities of service, floods, and listeners that do not read."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from fault_world import ManualClock
from geodistill_ros.bench import rss_slope
from geodistill_ros.messages import header_of
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.event_handler import QoSSubscriptionEventType
from rclpy.qos import QoSPolicyKind
from ros_world import FAST_PARAMETERS, LATCHED, Tester, compressed_image, noise
from sensor_msgs.msg import NavSatFix

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint

HERE = Path(__file__).parent
IMAGE_S = 1 / 30


def answered(world, message):
    poses = len(world.poses)
    world.send(message)
    world.wait(lambda: len(world.poses) > poses, "a pose")


def test_n19_prior_between_slow_fixes_widens_with_age_and_narrows_with_the_next_fix(worlds):
    world = worlds(use_sim_time=True, max_speed_mps=20.0)
    world.start()
    clock = ManualClock(world)
    sigmas = []
    for second in (100.0, 101.0):
        clock.set(second)
        world.prepare()
        for i in range(29):
            clock.set(second + 0.007 + i * IMAGE_S)  # in no step with the fixes
            answered(world, compressed_image(world.now_ns()))
            sigmas.append(world.localizer.seen[-1][1].sigma_m)
    first, second = sigmas[:29], sigmas[29:]
    assert first == sorted(set(first)) and second == sorted(set(second))
    assert first[0] == pytest.approx(2.0, abs=0.1) == second[0]
    assert first[-1] == pytest.approx((2.0**2 + (20.0 * (0.007 + 28 * IMAGE_S)) ** 2) ** 0.5, rel=1e-6)


def test_n19_prior_between_slow_fixes_follows_the_odometry(worlds):
    world = worlds(use_sim_time=True, heading_yaw_deg=0.0)
    world.start()
    clock = ManualClock(world)
    clock.set(100.0)
    world.prepare()
    frame, odometry = LocalFrame(GeoPoint(*world.place)), world.publisher(Odometry, "odometry")

    def moved_m(age_s):
        """How far east of the fix the prior lies: images may overtake the odometry, then the age grows on."""
        clock.set(100.0 + age_s)
        message = Odometry(header=header_of(world.now_ns(), "odom"))
        message.twist.twist.linear.x = 10.0
        odometry.publish(message)
        answered(world, compressed_image(world.now_ns()))
        prior = world.localizer.seen[-1][1]
        return frame.to_enu(prior.latitude, prior.longitude)[0], prior.sigma_m

    ages = [0.1 + i * IMAGE_S for i in range(20)]
    seen = {age: moved_m(age) for age in ages}
    followed = [age for age, (east_m, _) in seen.items() if abs(east_m - 10.0 * age) < 0.2]
    assert followed
    assert seen[followed[-1]][1] < 3.0


def test_n22_listener_that_asks_for_more_than_is_offered_is_counted_and_the_others_hear(worlds):
    world = worlds()
    world.start()
    world.wait(lambda: world.values().get("qos.incompatible") == "0", "the key")
    for kind, topic in ((PoseWithCovarianceStamped, "pose"), (NavSatFix, "fix")):
        world.collect(kind, f"geodistill/{topic}", [], LATCHED)  # transient local, which poses are not
        world.wait_count(f"qos.incompatible.{topic}")
    world.wait_count("qos.incompatible", 2)
    world.good_frame_gets_a_pose()


def test_n22_sender_that_offers_less_than_is_asked_for_is_counted(worlds):
    world = worlds()
    world.start()
    fix = next(s for s in world.node.subscriptions if s.topic_name.endswith("/fix"))
    # The node asks for best effort and volatile, which everybody offers: the event can only be made up.
    wanted = QoSSubscriptionEventType.RCL_SUBSCRIPTION_REQUESTED_INCOMPATIBLE_QOS
    (handler,) = [handler for handler in fix.event_handlers if handler.event_type == wanted]
    handler.callback(SimpleNamespace(total_count_change=1, last_policy_kind=QoSPolicyKind.RELIABILITY))
    world.wait_count("qos.incompatible.fix")


class NodeProcess:
    """The executable with the slow fake engine, and its memory."""

    def __init__(self, namespace):
        paths = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "ros2_ws/src/geodistill_ros")]
        words = [word for name, value in FAST_PARAMETERS.items() for word in ("-p", f"{name}:={value}")]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "fake_node.py"), "--ros-args", "-r", f"__ns:={namespace}", *words],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "FAKE_INFERENCE": "slow"},
        )

    def rss_mb(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_n23_flood_of_images_leaves_the_newest_answered_and_age_and_memory_bounded():
    rate_hz, seconds, warm_up_s = 200.0, 4.0, 1.0
    pictures = [compressed_image(0, noise(i, 1280, 720)).data for i in range(3)]
    with NodeProcess("/flood") as node, Tester("/flood") as tester:
        tester.start()
        tester.good_frame_gets_a_pose()
        arrived_s, sent_s, memory = {}, {}, []
        tester.collect(PoseWithCovarianceStamped, "geodistill/pose", Noted(arrived_s), 100)
        publisher, pause = tester.publisher(type(compressed_image(0, data=b"")), "image/compressed"), threading.Event()
        began_s = time.monotonic()
        while (elapsed_s := time.monotonic() - began_s) < seconds:
            if len(memory) < elapsed_s / 0.2:
                tester.send_fix()
                memory.append((elapsed_s, node.rss_mb()))
            message = compressed_image(tester.now_ns(), data=b"")
            message.data = pictures[len(sent_s) % 3]
            sent_s[stamp_of(message)] = time.monotonic()
            publisher.publish(message)
            pause.wait(max(0.0, len(sent_s) / rate_hz - (time.monotonic() - began_s)))
        newest = max(sent_s)
        tester.wait(lambda: newest in arrived_s, "the newest image's pose")
        tester.wait(lambda: tester.values()["images.pending"] == "0", "nothing pending")
        dropped = tester.known("dropped.superseded")
    ages_s = [arrived_s[stamp] - sent_s[stamp] for stamp in arrived_s if stamp in sent_s]
    assert len(ages_s) > 4 and dropped > len(ages_s)
    assert median(ages_s) < 1.0  # twice an inference of 0.1 s; the rest is what a loaded machine takes
    warm = [sample for sample in memory if sample[0] > warm_up_s]
    # Of 500 pictures of 2.7 MB none may stay; the slope over three seconds is too rough for 1 MB per minute.
    assert warm[-1][1] - warm[0][1] < 40.0, json.dumps(warm)
    assert rss_slope(warm) < 600.0


class Noted(list):
    """A list that only notes when the poses of which stamps were put into it."""

    def __init__(self, arrived_s):
        super().__init__()
        self.arrived_s = arrived_s

    def append(self, message):
        self.arrived_s[stamp_of(message)] = time.monotonic()


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


LISTENER = """
import rclpy, sys
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import QoSProfile, HistoryPolicy
rclpy.init()
node = rclpy.create_node("sink", namespace=sys.argv[1])
keep_all = QoSProfile(history=HistoryPolicy.KEEP_ALL)
topics = (DiagnosticArray, "/diagnostics"), (PoseWithCovarianceStamped, "geodistill/pose")
kept = [node.create_subscription(kind, topic, lambda _, name=topic.split("/")[1]: print(name, flush=True), keep_all)
        for kind, topic in topics]
rclpy.spin(node)
"""


def frame_s(world, seed):
    """Seconds from an image to its pose."""
    world.send_fix()
    poses, began_s = len(world.poses), time.monotonic()
    world.send(compressed_image(world.now_ns(), noise(seed)))
    world.wait(lambda: len(world.poses) > poses, "a pose")
    return time.monotonic() - began_s


def test_n42_listener_that_is_stopped_does_not_slow_the_node(worlds):
    world = worlds()
    world.start()
    world.good_frame_gets_a_pose()
    free_s = median(frame_s(world, i) for i in range(30))
    sink = subprocess.Popen(
        [sys.executable, "-c", LISTENER, world.namespace], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        for word in ("diagnostics", "pose"):
            while sink.stdout.readline().strip() != word:
                frame_s(world, 0)
        sink.send_signal(signal.SIGSTOP)
        stopped_s = [frame_s(world, i) for i in range(60)]
        reports = len(world.diagnostics)
        world.wait(lambda: len(world.diagnostics) > reports + 15, "diagnostics that go on")
    finally:
        sink.kill()
        sink.wait()
    # A publisher that waited for the stopped listener would take a tenth of a second for every message.
    assert median(stopped_s) < 2 * free_s + 0.05


def test_n42_node_that_nobody_listens_to_localizes_all_the_same(worlds):
    world = worlds()
    world.start()
    world.good_frame_gets_a_pose()
    for subscription in list(world.tester.subscriptions):
        if subscription.topic_name.endswith(("/pose", "/diagnostics")):
            world.tester.destroy_subscription(subscription)
    before = world.count("images.answered")
    for i in range(10):
        world.send_fix()
        world.send(compressed_image(world.now_ns(), noise(i)))
        while world.count("images.answered") == before + i:
            pass
    values = world.status()[1]["values"]
    assert values["images.answered"] == str(before + 10) and values["images.pending"] == "0"
