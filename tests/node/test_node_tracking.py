# SPDX-License-Identifier: Apache-2.0
"""The tracked output over DDS: states, poses, odometry, reset, a stated pose, silence, hanging inference."""

import math
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geometry_msgs.msg import PoseWithCovarianceStamped
from ros_world import LATCHED, compressed_image, header_of
from sensor_msgs.msg import NavSatFix
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tracked_world import SECOND_NS, SPEED_MPS, START_S, YAW_RAD, offset_at


def error_m(message):
    at = message.pose.pose.position
    east, north = offset_at(message.header.stamp.sec * SECOND_NS + message.header.stamp.nanosec)
    return math.hypot(at.x - east, at.y - north)


def test_track_is_acquired_and_its_pose_carries_the_images_stamp(drive):
    assert drive.said() == ["waiting_prior", "acquiring", "tracking"]
    stamp_ns = drive.step()
    drive.wait(lambda: drive.poses[-1].header.stamp.sec * SECOND_NS + drive.poses[-1].header.stamp.nanosec == stamp_ns,
               "a pose with the image's stamp")  # fmt: skip
    assert drive.poses[-1].header.frame_id == "map"
    assert error_m(drive.poses[-1]) < 0.5
    P = np.array(drive.poses[-1].pose.covariance).reshape(6, 6)
    np.linalg.cholesky(P)
    assert not P[2:5, [0, 1, 5]].any()
    values = drive.status()[1]["values"]
    assert values["track.state"] == "tracking" and float(values["track.protection_lateral_m"]) > 0.0
    assert values["track.degrees_of_freedom"] == "inf"  # nothing else was calibrated


def test_image_alone_is_asked_and_gnss_counts_once(drive):
    drive.step()
    image, prior = drive.localizer.seen[-1]
    assert prior.sigma_m < 2.0  # where the track is, not where the fix of 2 m says
    assert image.stamp_ns == drive.clock_ns


def test_odometry_says_where_the_vehicle_is_now_in_the_map_frame(drive):
    drive.wait(lambda: drive.odometry, "odometry")
    newest = drive.odometry[-1]
    assert (newest.header.frame_id, newest.child_frame_id) == ("map", "base_link")
    assert newest.twist.twist.linear.x == pytest.approx(SPEED_MPS, abs=0.5)
    assert newest.twist.covariance[0] == pytest.approx(0.04)
    assert np.diag(np.array(newest.twist.covariance).reshape(6, 6)).min() > 0.0
    drive.with_image = False
    count = len(drive.odometry)
    at_ns = drive.step()
    drive.wait(lambda: len(drive.odometry) > count and drive.odometry[-1].header.stamp.nanosec == at_ns % SECOND_NS,
               "odometry without an image")  # fmt: skip
    assert error_m(drive.odometry[-1]) < 0.7


def test_odometry_keeps_to_its_rate(drives):
    drive = drives(odometry_rate_hz=1.0)
    drive.acquire()
    drive.with_image = False
    count = len(drive.odometry)
    for _ in range(6):  # twelve messages in three seconds
        drive.step()
        drive.status()
    stamps = [m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in drive.odometry[count:]]
    assert 2 <= len(stamps) <= 4 and np.diff(stamps).min() >= 0.8


def test_state_is_latched_and_each_change_is_told_once(drive):
    late = []
    drive.collect(String, "geodistill/state", late, LATCHED)
    drive.wait(lambda: late and late[-1].data == "tracking", "the latched state")
    assert drive.said() == ["waiting_prior", "acquiring", "tracking"]


def test_reset_forgets_the_track_and_it_is_acquired_anew(drive):
    answer = drive.call(Trigger, "geodistill/reset", Trigger.Request())
    assert answer.success
    drive.wait(drive.state_is("waiting_prior"), "state waiting_prior")
    drive.drive_until(drive.state_is("tracking"), "state tracking again")
    assert drive.said()[-3:] == ["waiting_prior", "acquiring", "tracking"]


@pytest.mark.parametrize("output", ["per_frame", "likelihood"])
def test_reset_without_a_track_is_refused_with_a_sentence(worlds, output):
    world = worlds(output=output)
    world.start()
    answer = world.call(Trigger, "geodistill/reset", Trigger.Request())
    assert not answer.success and output in answer.message


def test_stated_pose_begins_the_track_there(drive):
    stated = PoseWithCovarianceStamped(header=header_of(drive.clock_ns, "map"))
    east, north = offset_at(drive.clock_ns)
    stated.pose.pose.position.x, stated.pose.pose.position.y = east + 3.0, north
    stated.pose.pose.orientation.z, stated.pose.pose.orientation.w = math.sin(YAW_RAD / 2), math.cos(YAW_RAD / 2)
    stated.pose.covariance[0] = stated.pose.covariance[7] = 9.0
    stated.pose.covariance[35] = 0.01
    publisher = drive.publisher(PoseWithCovarianceStamped, "initialpose")
    drive.insist(lambda: publisher.publish(stated), lambda: drive.known("track.priors_set") > 0, "stated pose")
    drive.step()
    prior = drive.localizer.seen[-1][1]
    assert prior.sigma_m == pytest.approx(3.0, abs=0.05)
    assert prior.yaw_enu_rad == pytest.approx(YAW_RAD, abs=1e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda message: setattr(message.header, "frame_id", "odom"),
        lambda message: setattr(message.pose.pose.position, "x", math.nan),
        lambda message: setattr(message.pose.pose.orientation, "w", 0.0),
        lambda message: message.pose.covariance.__setitem__(35, 0.0),
    ],
    ids=["frame", "nan", "quaternion", "no variance of yaw"],
)
def test_stated_pose_that_says_nothing_is_refused_and_the_track_goes_on(drive, spoil):
    publisher = drive.publisher(PoseWithCovarianceStamped, "initialpose")
    message = PoseWithCovarianceStamped(header=header_of(drive.clock_ns, "map"))
    message.pose.covariance[0] = message.pose.covariance[7] = message.pose.covariance[35] = 1.0
    spoil(message)
    drive.insist(lambda: publisher.publish(message), lambda: drive.known("track.priors_refused") > 0, "refusal")
    drive.step()
    assert drive.said()[-1] == "tracking"


def test_n18_gnss_silence_degrades_the_track_and_images_alone_keep_it(drive):
    drive.with_fix = False
    silent_ns = drive.clock_ns
    drive.drive_until(drive.state_is("degraded"), "state degraded")
    assert 2.0 <= (drive.clock_ns - silent_ns) / SECOND_NS <= 4.0
    assert "GNSS" in drive.status()[1]["values"]["track.cause"]
    for _ in range(12):  # far beyond max_fix_age_s
        drive.step()
    assert drive.said()[-1] == "degraded" and error_m(drive.poses[-1]) < 1.0


def test_n18_without_gnss_and_images_the_track_is_degraded_then_lost_although_nothing_arrives(drive):
    drive.with_fix = drive.with_image = drive.with_odometry = False
    poses = len(drive.poses)
    for _ in range(80):
        if drive.state_is("lost")():
            break
        drive.step()
        drive.status()  # a round trip through the node's executor, whose timer may speak in between
    drive.wait(drive.state_is("lost"), "state lost")
    assert drive.said()[-2:] == ["degraded", "lost"]
    assert len(drive.poses) == poses
    odometry = len(drive.odometry)
    drive.send_odometry()
    healthy, status = drive.status()
    assert not healthy and "track is lost" in status["message"]
    assert len(drive.odometry) == odometry


def test_n05_clock_that_jumps_back_resets_the_track_and_it_resumes(drive):
    drive.tick(START_S - 900)
    drive.wait(drive.state_is("waiting_prior"), "state waiting_prior")
    before = len(drive.poses)
    drive.drive_until(lambda: len(drive.poses) > before, "a pose after the jump", steps=4)
    assert drive.said()[-1] == "acquiring"


def test_hanging_inference_is_a_fault_that_ends_with_the_next_answer(drive):
    assert drive.set_parameter("inference_timeout_s", 0.1).successful
    inside, go_on = threading.Event(), threading.Event()
    drive.localizer.before = lambda *_: (inside.set(), go_on.wait(30))
    drive.tick(drive.clock_ns / SECOND_NS + 0.5)
    drive.send(compressed_image(drive.clock_ns))
    assert inside.wait(10)
    drive.wait(drive.state_is("fault"), "state fault")
    assert drive.state() == "active"
    assert drive.set_parameter("inference_timeout_s", 60.0).successful
    drive.localizer.before = lambda *_: None
    go_on.set()
    drive.drive_until(drive.state_is("tracking"), "state tracking again")
    assert drive.said()[-4:] == ["fault", "waiting_prior", "acquiring", "tracking"]


def test_inference_that_keeps_failing_is_a_fault(drive):
    def fail(*_):
        raise ZeroDivisionError("division by zero")

    drive.localizer.before = fail
    drive.drive_until(drive.state_is("fault"), "state fault", steps=12)
    drive.localizer.before = lambda *_: None
    drive.drive_until(drive.state_is("tracking"), "state tracking again")
    assert drive.said()[-4:] == ["fault", "waiting_prior", "acquiring", "tracking"]


def test_likelihood_is_published_without_a_pose(worlds):
    world = worlds(output="likelihood")
    likelihoods, fixes = [], []
    world.collect(PoseWithCovarianceStamped, "geodistill/likelihood", likelihoods, 10)
    world.collect(NavSatFix, "geodistill/fix", fixes, 10)
    world.start()
    world.prepare()
    world.insist(lambda: world.send(compressed_image(world.now_ns())), lambda: likelihoods, "likelihood")
    topics = {name for name, _ in world.tester.get_topic_names_and_types()}
    assert f"{world.namespace}/geodistill/likelihood" in topics
    assert not world.poses and not fixes
    published = {p.topic_name.rpartition("/")[2] for p in world.node.publishers}
    assert not published & {"pose", "fix", "odometry", "state"}


@pytest.mark.parametrize(
    ("antenna", "side"), [({"gnss_antenna_x_m": 4.0}, "ahead"), ({"gnss_antenna_y_m": 4.0}, "left")]
)
def test_fix_of_a_displaced_antenna_places_the_base(worlds, antenna, side):
    world = worlds(**antenna)
    world.start()
    pose = world.good_frame_gets_a_pose().pose.pose.position
    yaw = YAW_RAD if side == "ahead" else YAW_RAD + math.pi / 2
    assert (pose.x, pose.y) == pytest.approx((-4.0 * math.cos(yaw), -4.0 * math.sin(yaw)), abs=1e-3)
