# SPDX-License-Identifier: Apache-2.0
"""Broken inputs: each is counted under its own name and costs one frame; the next good frame is answered."""

import math
import threading

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from fault_world import SECOND_NS, survives
from geodistill_ros.messages import header_of
from geometry_msgs.msg import Quaternion
from ros_world import compressed_image, noise, picture
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import NavSatFix, NavSatStatus

JPEG = cv2.imencode(".jpg", picture())[1].tobytes()


@pytest.fixture(scope="module")
def compressed(module_worlds):
    world = module_worlds()
    world.start()
    return world


@pytest.fixture(scope="module")
def with_imu(module_worlds):
    world = module_worlds(heading_source="imu")
    world.start()
    return world


def test_n03_image_that_is_old_on_arrival_is_dropped_and_its_age_told(compressed):
    survives(
        compressed, "dropped.stale", lambda: compressed.send(compressed_image(compressed.now_ns() - 5 * SECOND_NS))
    )
    told = [v.value for d in compressed.diagnostics for v in d.status[0].values if v.key == "image.stamp_age_s"]
    assert max(map(float, told)) >= 5.0


def test_n04_image_from_the_future_is_dropped(compressed):
    ahead_ns = 2 * SECOND_NS
    survives(compressed, "dropped.future", lambda: compressed.send(compressed_image(compressed.now_ns() + ahead_ns)))


def test_n01_image_stamp_zero_is_dropped(compressed):
    survives(compressed, "dropped.stamp_zero", lambda: compressed.send(compressed_image(0)))


@pytest.mark.parametrize("step_back_ns", [0, 50_000_000])
def test_n02_repeated_and_backward_stamps_are_dropped(compressed, step_back_ns):
    last_ns = None

    def send():
        compressed.send(compressed_image(last_ns - step_back_ns))

    pose = compressed.good_frame_gets_a_pose()
    last_ns = pose.header.stamp.sec * SECOND_NS + pose.header.stamp.nanosec
    survives(compressed, "dropped.stamp_backwards", send)


@pytest.mark.parametrize(
    ("counter", "data"),
    [
        ("dropped.truncated", JPEG[: len(JPEG) // 2]),
        ("dropped.truncated", JPEG[:-2]),
        ("dropped.decode", b"<html>404 not found</html>"),
        ("dropped.decode", b""),
        ("dropped.size", cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()),
    ],
)
def test_n10_broken_compressed_image_is_dropped(compressed, counter, data):
    survives(compressed, counter, lambda: compressed.send(compressed_image(compressed.now_ns(), data=data)))


@pytest.mark.parametrize("status", [-1, -2])
def test_n13_fix_of_a_receiver_that_has_none_is_counted_and_ignored(compressed, status):
    survives(compressed, "gnss.rejected.no_fix", lambda: compressed.send_fix(status=NavSatStatus(status=status)))


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("nan", {"latitude": math.nan}),
        ("nan", {"longitude": math.inf}),
        ("out_of_range", {"latitude": 91.0}),
        ("out_of_range", {"longitude": -180.1}),
        ("null_island", {"latitude": 0.0, "longitude": 0.0}),
        ("stamp_zero", {"header": header_of(0, "gnss")}),
        ("jump", {"latitude": 48.2}),
    ],
)
def test_n14_impossible_fix_is_counted_by_reason_and_ignored(compressed, reason, fields):
    survives(compressed, f"gnss.rejected.{reason}", lambda: compressed.send_fix(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"position_covariance": [0.0] * 9},
        {"position_covariance": [-1.0] * 9},
        {"position_covariance": [math.nan] * 9},
        {"position_covariance_type": NavSatFix.COVARIANCE_TYPE_UNKNOWN},
    ],
)
def test_n15_fix_without_a_usable_covariance_gets_the_default_sigma_and_a_warning(compressed, fields):
    before = compressed.counters().get("gnss.sigma_default", 0)
    compressed.prepare()
    compressed.send_fix(**fields)
    compressed.wait_count("gnss.sigma_default", before + 1)
    assert compressed.values()["gnss.sigma_source"] == "default"
    poses = len(compressed.poses)
    compressed.send(compressed_image(compressed.now_ns(), noise(before)))
    compressed.wait(lambda: len(compressed.poses) > poses, "a pose from a fix of default sigma")
    assert compressed.localizer.seen[-1][1].sigma_m == pytest.approx(10.0, abs=2.5)
    status = compressed.status()[1]
    assert status["level"] == 1 and "gnss_default_sigma_m" in status["message"]


@pytest.mark.parametrize(
    ("counter", "fields"),
    [
        ("imu.rejected.no_orientation", {"orientation_covariance": [-1.0] + [0.0] * 8}),
        ("imu.rejected.quaternion", {"orientation": Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)}),
        ("imu.rejected.quaternion", {"orientation": Quaternion(x=math.nan, y=0.0, z=0.0, w=1.0)}),
        ("attitude.rejected.tilt", {"orientation": Quaternion(x=1.0, y=0.0, z=0.0, w=0.0)}),
    ],
)
def test_unusable_attitude_is_counted_by_reason(with_imu, counter, fields):
    before = with_imu.count(counter)
    with_imu.send_imu(**fields)
    with_imu.wait_count(counter, before + 1)
    poses = len(with_imu.poses)

    def send():
        stamp_ns = with_imu.now_ns()
        with_imu.send_imu(stamp_ns=stamp_ns)
        with_imu.send_fix(stamp_ns=stamp_ns)
        with_imu.send(compressed_image(stamp_ns))

    with_imu.insist(send, lambda: len(with_imu.poses) > poses, "pose after a broken attitude")


@pytest.mark.parametrize("source", ["imu", "odometry"])
def test_heading_and_attitude_come_from_the_chosen_source(worlds, source):
    world = worlds(heading_source=source)
    world.start()
    world.prepare()
    world.send(compressed_image(world.now_ns()))
    world.wait_count("dropped.no_attitude")

    def send():
        stamp_ns = world.now_ns()
        if source == "imu":
            world.send_imu(stamp_ns=stamp_ns)
        world.send_odometry(stamp_ns=stamp_ns, yaw_rad=0.5 if source == "odometry" else 2.0)
        world.send_fix(stamp_ns=stamp_ns)
        world.send(compressed_image(stamp_ns))

    world.insist(send, lambda: world.poses, "pose with a heading from a sensor")
    prior = world.localizer.seen[-1][1]
    assert prior.yaw_enu_rad == pytest.approx(0.5)
    assert prior.sigma_yaw_rad == pytest.approx(0.1)  # the variance that the message states


def test_n25_hanging_inference_is_an_error_while_services_answer(worlds):
    world = worlds(inference_timeout_s=0.1)
    inside, go_on = threading.Event(), threading.Event()
    world.localizer.before = lambda *_: (inside.set(), go_on.wait(30))
    world.start()
    world.prepare()
    world.send(compressed_image(world.now_ns()))
    assert inside.wait(10)
    world.wait(lambda: world.diagnostics[-1].status[0].level == b"\x02", "level ERROR")
    assert "inference runs for" in world.diagnostics[-1].status[0].message
    assert world.state() == "active"
    go_on.set()
    world.good_frame_gets_a_pose()


def test_slow_inference_answers_the_newest_image_and_counts_the_others(worlds):
    world = worlds()
    inside, go_on = threading.Event(), threading.Event()
    world.localizer.before = lambda *_: (inside.set(), go_on.wait(30))
    world.start()
    world.prepare()
    world.send(compressed_image(world.now_ns()))
    assert inside.wait(10)
    for i in range(4):
        world.prepare()
        newest_ns = world.now_ns()
        world.send(compressed_image(newest_ns))
        world.wait_count("images.received", 2 + i)
    go_on.set()
    world.wait(lambda: len(world.poses) == 2, "two poses")
    assert [image.stamp_ns for image, _ in world.localizer.seen][-1] == newest_ns
    world.wait(lambda: world.values()["images.pending"] == "0", "no image pending")
    assert world.counters()["dropped.superseded"] == 3


def test_image_before_the_first_fix_is_dropped(worlds):
    world = worlds()
    world.start()
    world.send(compressed_image(world.now_ns()))
    world.wait_count("dropped.no_fix")
    world.good_frame_gets_a_pose()


def test_clock_that_jumps_back_forgets_the_readings_and_goes_on(worlds):
    world = worlds(use_sim_time=True)
    world.start()
    clock = world.publisher(Clock, "/clock")

    def tick(seconds):
        world.clock_ns = seconds * SECOND_NS
        clock.publish(Clock(clock=header_of(world.clock_ns, "").stamp))
        world.wait(lambda: world.node.get_clock().now().nanoseconds == world.clock_ns, "the clock")

    world.send(compressed_image(150 * SECOND_NS))
    world.wait_count("dropped.no_clock")
    tick(150)
    world.good_frame_gets_a_pose()
    tick(5)
    world.wait_count("clock.jumps_back")
    world.send(compressed_image(world.now_ns()))
    world.wait_count("dropped.no_fix")
    tick(6)
    world.good_frame_gets_a_pose()
