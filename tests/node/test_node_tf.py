# SPDX-License-Identifier: Apache-2.0
"""Transforms over DDS: map -> odom and map -> base_link, who else broadcasts them, and what is missing."""

import math
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros import authority
from geodistill_ros.authority import Authority
from geodistill_ros.mount import MountUnavailableError
from geodistill_ros.odometry_poses import OdometryUnavailableError, TfPoses, TopicPoses
from geodistill_ros.parameters import NodeParameters
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile
from ros_world import CONFIGURE, LATCHED, header_of
from tracked_world import SECOND_NS, YAW_RAD, offset_at

pytestmark = pytest.mark.usefixtures("tf2_messages")


@pytest.fixture
def heard(drives, monkeypatch):
    """Make a drive whose /tf is collected, without what another broadcaster sends."""
    monkeypatch.setattr(authority, "LISTEN_FIRST_S", 0.2)
    monkeypatch.setattr(authority, "FORGET_S", 1.0)
    monkeypatch.setitem(sys.modules, "tf2_ros", None)  # the odometry's topic, also where tf2_ros is installed

    def make(**parameters):
        from tf2_msgs.msg import TFMessage

        drive, transforms = drives(**parameters), []
        drive.collect(TFMessage, "/tf", transforms, 100)
        return drive, transforms

    return make


def planar(transform):
    t, q = transform.transform.translation, transform.transform.rotation
    return t.x, t.y, 2 * math.atan2(q.z, q.w)


def stamped(parent, child, x_m=0.0, stamp_ns=1):
    message = TransformStamped(header=header_of(stamp_ns, parent), child_frame_id=child)
    message.transform.translation.x = x_m
    return message


def frames(messages):
    return {(t.header.frame_id, t.child_frame_id) for m in messages for t in m.transforms}


def test_map_odom_joins_the_track_and_the_odometry_at_the_images_stamp(heard):
    drive, transforms = heard(tf="map_odom")
    drive.acquire()
    drive.drive_until(lambda: transforms, "a transform")
    assert frames(transforms) == {("map", "odom")}
    x_m, y_m, yaw = planar(transforms[-1].transforms[0])
    # The odometry began at the datum, turned by the street's direction; metres away an error of yaw is a lever.
    assert yaw == pytest.approx(YAW_RAD, abs=0.06)
    driven = offset_at(drive.clock_ns)
    reach_m = math.hypot(*driven)
    ahead = x_m + reach_m * math.cos(yaw), y_m + reach_m * math.sin(yaw)
    assert ahead == pytest.approx(driven, abs=0.8)


def test_map_odom_is_repeated_with_each_odometry_so_that_it_never_grows_old(heard):
    drive, transforms = heard(tf="map_odom")
    drive.acquire()
    drive.drive_until(lambda: transforms, "a transform")
    drive.with_image = False
    at_ns = drive.step()
    drive.wait(lambda: transforms[-1].transforms[0].header.stamp.nanosec == at_ns % SECOND_NS, "a transform for now")


def test_map_base_places_the_vehicle_now(heard):
    drive, transforms = heard(tf="map_base")
    drive.acquire()
    drive.drive_until(lambda: transforms, "a transform")
    assert frames(transforms) == {("map", "base_link")}
    newest = transforms[-1].transforms[0]
    stamp_ns = newest.header.stamp.sec * SECOND_NS + newest.header.stamp.nanosec
    assert planar(newest)[:2] == pytest.approx(offset_at(stamp_ns), abs=0.8)


@pytest.mark.parametrize("static", [False, True])
def test_n21_second_authority_silences_us_and_is_an_error(heard, static):
    from tf2_msgs.msg import TFMessage

    drive, transforms = heard(tf="map_odom")
    drive.acquire()
    drive.drive_until(lambda: transforms, "a transform")
    topic = "/tf_static" if static else "/tf"
    other = drive.tester.create_publisher(TFMessage, topic, LATCHED if static else QoSProfile(depth=10))

    def intrude():
        if not static or not drive.known("tf.refused"):
            other.publish(TFMessage(transforms=[stamped("map", "odom", x_m=500.0)]))

    before = drive.known("tf.refused")
    for _ in range(20):
        intrude()
        drive.step()
        if drive.known("tf.refused") > before:
            break
    drive.wait(lambda: "no TF from this node" in drive.diagnostics[-1].status[0].message, "the ERROR")
    assert drive.diagnostics[-1].status[0].level == b"\x02"
    sent = drive.counters()["tf.sent"]
    for _ in range(4):
        intrude()
        drive.step()
    assert drive.counters()["tf.sent"] == sent
    assert drive.said()[-1] == "tracking"  # the pose goes on
    drive.tester.destroy_publisher(other)
    if not static:
        drive.drive_until(lambda: drive.counters()["tf.sent"] > sent, "our transform after the other's end", 200)
        drive.wait(lambda: drive.diagnostics[-1].status[0].level != b"\x02", "the end of the ERROR")


def test_n21_wheel_odometry_that_places_the_base_forbids_map_base(heard):
    from tf2_msgs.msg import TFMessage

    drive, transforms = heard(tf="map_base")
    other = drive.tester.create_publisher(TFMessage, "/tf", 10)
    timer = drive.tester.create_timer(0.05, lambda: other.publish(TFMessage(transforms=[stamped("odom", "base_link")])))
    drive.acquire()
    drive.drive_until(lambda: drive.known("tf.refused"), "refusal")
    assert frames(transforms) == {("odom", "base_link")}
    assert "'base_link' in 'odom'" in drive.status()[1]["message"]
    drive.tester.destroy_timer(timer)


def test_n20_without_the_odometrys_pose_there_is_no_map_odom_and_the_pose_goes_on(heard):
    drive, transforms = heard(tf="map_odom", odom_frame="wheel_odom")  # the messages say `odom`
    drive.acquire()
    drive.drive_until(lambda: drive.known("tf.missing.odom"), "the counter")
    poses = len(drive.poses)
    drive.step()
    assert not transforms and len(drive.poses) >= poses


def test_n20_camera_and_antenna_without_a_transform_are_counted_by_name(monkeypatch):
    from types import ModuleType, SimpleNamespace

    from geodistill_ros.counters import Counters
    from geodistill_ros.mount import TfMount

    class TransformError(Exception):
        pass

    class Buffer:
        def lookup_transform(self, *_):
            raise TransformError("unknown frame")

    fake = ModuleType("tf2_ros")
    fake.Buffer, fake.TransformException = Buffer, TransformError
    fake.TransformListener = lambda buffer, node: SimpleNamespace(unregister=lambda: None)
    monkeypatch.setitem(sys.modules, "tf2_ros", fake)
    counters = Counters()
    mount = TfMount(None, "base_link", counters)
    with pytest.raises(MountUnavailableError, match=r"base_link.*camera"):
        mount.lookup("camera")
    with pytest.raises(MountUnavailableError, match=r"base_link.*gnss"):
        mount.antenna("gnss")
    assert counters.snapshot() == {"tf.missing.base_link.camera": 1, "tf.missing.base_link.gnss": 1}


def test_tf_without_tf2_msgs_is_refused_with_the_remedy(worlds, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", None)
    world = worlds(tf="map_base")
    assert not world.change(CONFIGURE)
    assert "tf2-msgs" in world.status()[1]["message"]


def test_likelihood_has_nothing_to_broadcast(worlds):
    world = worlds(tf="map_base", output="likelihood")
    assert not world.change(CONFIGURE)
    assert "likelihood" in world.status()[1]["message"]


class Time:
    """A clock that is set by hand."""

    def __init__(self):
        self.s = 100.0

    def __call__(self):
        return self.s


def message(*transforms):
    from types import SimpleNamespace

    return SimpleNamespace(transforms=transforms)


def test_authority_listens_before_it_lets_us_speak():
    clock = Time()
    watched = Authority("odom", clock)
    assert not watched.may_broadcast()
    watched.begin()
    clock.s += authority.LISTEN_FIRST_S - 0.01
    assert not watched.may_broadcast()
    clock.s += 0.01
    assert watched.may_broadcast()


def test_authority_knows_our_own_transforms_and_other_children_do_not_matter():
    clock = Time()
    watched = Authority("odom", clock)
    watched.begin()
    clock.s += 10.0
    own = stamped("map", "odom", 1.25, 77)
    watched.sent(own)
    watched.heard(message(own, stamped("odom", "base_link"), stamped("map", "marker")))
    assert watched.may_broadcast()
    watched.heard(message(stamped("map", "odom", 1.25, 78)))
    assert not watched.may_broadcast() and "'odom' in 'map'" in watched.other()


def test_authority_forgets_another_node_after_some_seconds_and_a_static_one_never():
    clock = Time()
    watched = Authority("odom", clock)
    watched.begin()
    watched.heard(message(stamped("earth", "odom")))
    clock.s += authority.FORGET_S
    assert watched.other()
    clock.s += 0.01
    assert not watched.other() and watched.may_broadcast()
    watched.heard(message(stamped("earth", "odom")), static=True)
    clock.s += 1e6
    assert not watched.may_broadcast()


def odometry(stamp_s, x_m, yaw=0.0, frame="odom", child="base_link"):
    found = Odometry(header=header_of(round(stamp_s * 1e9), frame), child_frame_id=child)
    found.pose.pose.position.x = x_m
    found.pose.pose.orientation.z, found.pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
    return found


def test_odometrys_pose_is_interpolated_and_held_for_half_a_second_at_most():
    poses = TopicPoses(NodeParameters())
    for i in range(3):
        poses.take(odometry(10.0 + 0.2 * i, float(i), 0.1 * i))
    assert poses.at(round(10.1e9)).x_m == pytest.approx(0.5)
    assert poses.at(round(10.1e9)).yaw_rad == pytest.approx(0.05)
    assert poses.at(round(10.8e9)).x_m == 2.0
    assert poses.at(round(9.6e9)).x_m == 0.0
    for stamp_s in (9.4, 11.0):
        with pytest.raises(OdometryUnavailableError, match="base_link in odom"):
            poses.at(round(stamp_s * 1e9))


@pytest.mark.parametrize(
    "bad",
    [odometry(10.0, 1.0, frame="wheels"), odometry(10.0, 1.0, child="imu"), odometry(10.0, math.nan)],
)
def test_odometry_of_other_frames_or_without_numbers_places_nothing(bad):
    poses = TopicPoses(NodeParameters())
    poses.take(bad)
    with pytest.raises(OdometryUnavailableError):
        poses.at(round(10.0e9))


def test_tree_is_asked_for_the_base_in_the_odometrys_frame_at_the_images_stamp():
    from types import SimpleNamespace

    asked = []

    class Buffer:
        def lookup_transform(self, target, source, time):
            asked.append((target, source, time.nanoseconds))
            half = math.sqrt(0.5)
            return SimpleNamespace(
                transform=SimpleNamespace(
                    rotation=SimpleNamespace(x=0.0, y=0.0, z=half, w=half),
                    translation=SimpleNamespace(x=3.0, y=4.0, z=0.5),
                )
            )

    tf2_ros = SimpleNamespace(Buffer=Buffer, TransformException=KeyError, TransformListener=lambda buffer, node: None)
    found = TfPoses(None, NodeParameters(), tf2_ros).at(123)
    assert asked == [("odom", "base_link", 123)]
    assert (found.x_m, found.y_m, found.yaw_rad) == pytest.approx((3.0, 4.0, math.pi / 2))
