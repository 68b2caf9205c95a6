# SPDX-License-Identifier: Apache-2.0
"""Ground truth from every message type that states one, and from trajectory files; the oracle is the drive itself."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyproj import Geod, Transformer

from geodistill_core.bags import compose
from geodistill_core.bags.reader import ReaderOptions, TruthOptions, read_drive
from geodistill_core.bags.topics import NAV_SAT_FIX, ODOMETRY, POSE_STAMPED, POSE_WITH_COVARIANCE
from geodistill_core.bags.truth.course import courses
from geodistill_core.bags.truth.tum import read_tum
from geodistill_core.bags.writer import typestore
from geodistill_core.errors import BagError, ConfigError
from geodistill_core.geometry.angles import wrap
from tests.bags.bag_drives import DATUM, FRAME, TOPICS, messages, ns, without, write

GEOD = Geod(ellps="WGS84")
HEIGHT = ReaderOptions(camera_height_m=1.8)
COMMA = Path(__file__).resolve().parents[2] / "../shared/data/comma2k19/global_pose"
TURN = 0.1  # rad/s
RADIUS = 50.0
AROUND = replace(HEIGHT, truth=TruthOptions("/reference"))


def place(seconds):
    """East, north, heading on a circle driven counter-clockwise at 5 m/s."""
    angle = TURN * seconds
    return RADIUS * math.sin(angle), RADIUS * (1.0 - math.cos(angle)), wrap(angle)


def covariant(stamp, pose):
    spread = typestore().types["geometry_msgs/msg/PoseWithCovariance"](pose=pose.pose, covariance=np.zeros(36))
    return typestore().types[POSE_WITH_COVARIANCE](header=compose.header(stamp, "map"), pose=spread)


MAKERS = {
    POSE_STAMPED: lambda t, p: compose.pose_stamped(t, *p),
    POSE_WITH_COVARIANCE: lambda t, p: covariant(t, compose.pose_stamped(t, *p)),
    ODOMETRY: lambda t, p: compose.odometry(t, p, 5.0, TURN),
    NAV_SAT_FIX: lambda t, p: compose.nav_sat_fix(t, FRAME.point(p[0], p[1]), 0.02),
}


def drive(tmp_path, msgtype, seconds=4.0, rate_hz=10, make=None):
    """The usual drive, with its truth on /reference as messages of another type."""
    make = make or MAKERS[msgtype]
    entries = without(messages(seconds), "/ground_truth/pose")
    for k in range(int(seconds * rate_hz) + 1):
        stamp = ns(k / rate_hz)
        entries.append(("/reference", make(stamp, place(k / rate_hz)), stamp))
    topics = {t: m for t, m in TOPICS.items() if t != "/ground_truth/pose"} | {"/reference": msgtype}
    return write(tmp_path / "drive.mcap", sorted(entries, key=lambda entry: entry[2]), topics)


def check(frames, position_m, heading_deg):
    for frame in frames:
        east, north, yaw = place((frame.stamp_ns - ns(0)) * 1e-9)
        point = FRAME.point(east, north)
        _, _, apart_m = GEOD.inv(point.longitude, point.latitude, frame.truth.longitude, frame.truth.latitude)
        assert apart_m < position_m
        assert abs(math.degrees(wrap(frame.truth.yaw_enu_rad - yaw))) < heading_deg


@pytest.mark.parametrize("msgtype", MAKERS)
def test_every_type_of_message_gives_the_same_truth(tmp_path, msgtype):
    # a chord of 1.5 m to each side of a place on a circle is parallel to the tangent; at the ends it is one-sided
    heading_deg = math.degrees(2.0 / RADIUS) if msgtype == NAV_SAT_FIX else 0.01
    reader = read_drive(drive(tmp_path, msgtype), AROUND)
    check(reader.frames(), 0.002, heading_deg)
    reader.check_truth()


def test_one_odometry_may_be_motion_and_truth(tmp_path):
    path = write(tmp_path / "d.mcap", without(messages(), "/ground_truth/pose"))
    frames = list(read_drive(path, replace(HEIGHT, truth=TruthOptions("/wheel/odometry"))).frames())
    plain = list(read_drive(path, HEIGHT).frames())
    assert [f.frame_prior for f in frames] == [f.frame_prior for f in plain]
    for frame in frames:
        east, north = FRAME.to_enu(frame.truth.latitude, frame.truth.longitude)
        assert (east, north) == pytest.approx((5.0 * (frame.stamp_ns - ns(0)) * 1e-9, 0.0), abs=1e-3)


def tum(path, seconds=4.0, rate_hz=10, head="# stamp x y z qx qy qz qw\n"):
    """A trajectory as evo writes it."""
    lines = []
    for k in range(int(seconds * rate_hz) + 1):
        (east, north, yaw), stamp = place(k / rate_hz), ns(k / rate_hz)
        lines.append(
            f"{stamp // 10**9}.{stamp % 10**9:09d} {east!r} {north!r} 7.5 "
            f"0 0 {math.sin(yaw / 2)!r} {math.cos(yaw / 2)!r}"
        )
    path.write_text(head + "\n".join(lines) + "\n")
    return path


def test_a_trajectory_file_gives_the_same_truth_and_needs_a_datum(tmp_path):
    bag = write(tmp_path / "d.mcap", without(messages(), "/ground_truth/pose", "/ground_truth/datum"))
    file = str(tum(tmp_path / "reference.tum"))
    with pytest.raises(BagError, match="--truth-datum"):
        read_drive(bag, replace(HEIGHT, truth=TruthOptions(file)))
    check(read_drive(bag, replace(HEIGHT, truth=TruthOptions(file, DATUM))).frames(), 0.002, 0.01)
    with_datum = write(tmp_path / "datum.mcap", messages())
    check(read_drive(with_datum, replace(HEIGHT, truth=TruthOptions(file))).frames(), 0.002, 0.01)


def test_stamps_of_a_trajectory_file_are_exact_to_the_nanosecond(tmp_path):
    (tmp_path / "t.tum").write_text("1700000000.123456789 0 0 0 0 0 0 1\n\n1.7e9,1,2,3,0,0,0,1  # a comment\n")
    assert [pose.stamp_ns for pose in read_tum(tmp_path / "t.tum")] == [
        1_700_000_000_123_456_789,
        1_700_000_000 * 10**9,
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 2 3", "3 values"),
        ("1 0 0 0 0 0 0 1 9", "9 values"),
        ("now 0 0 0 0 0 0 1", "no number"),
        ("1 0 0 x 0 0 0 1", "no number"),
        ("nan 0 0 0 0 0 0 1", "finite"),
        ("1 inf 0 0 0 0 0 1", "finite"),
        ("1 0 0 0 0 0 0 0", "quaternion"),
        ("1 0 0 0 0 0 3 1", "quaternion"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(tmp_path, line, words):
    (tmp_path / "bad.tum").write_text(f"# head\n0 0 0 0 0 0 0 1\n{line}\n")
    with pytest.raises(BagError, match=rf"bad\.tum:3 .*{words}"):
        read_tum(tmp_path / "bad.tum")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe\0"])
def test_a_file_without_a_pose_is_refused(tmp_path, content):
    (tmp_path / "empty.tum").write_bytes(content)
    with pytest.raises(BagError, match=r"empty\.tum"):
        read_tum(tmp_path / "empty.tum")


def test_a_source_that_is_neither_topic_nor_file_ends_with_2_and_names_what_could_be(tmp_path):
    path = drive(tmp_path, ODOMETRY)
    with pytest.raises(BagError, match=r"/refrence.*/reference \(nav_msgs/msg/Odometry\)") as refused:
        read_drive(path, replace(HEIGHT, truth=TruthOptions("/refrence")))
    assert refused.value.exit_code == 2


def test_poses_in_utm_are_refused_with_a_word_on_utm(tmp_path):
    path = drive(tmp_path, POSE_STAMPED, make=lambda t, p: compose.pose_stamped(t, 459_000.0, 5_260_000.0, 0.0))
    with pytest.raises(BagError, match="UTM"):
        list(read_drive(path, AROUND).frames())


def test_poses_without_an_orientation_and_fixes_without_a_fix_are_no_truth(tmp_path):
    def unset(stamp, pose):
        message = compose.pose_stamped(stamp, *pose)
        message.pose.orientation.w = 0.0
        message.pose.orientation.z = 0.0
        return message

    for msgtype, make in ((POSE_STAMPED, unset), (NAV_SAT_FIX, lambda t, p: compose.nav_sat_fix(t, None, 1.0))):
        with pytest.raises(BagError, match="no usable truth"):
            read_drive(drive(tmp_path, msgtype, make=make), AROUND).check_truth()


def test_a_receiver_that_stands_still_implies_no_heading(tmp_path):
    path = drive(tmp_path, NAV_SAT_FIX, make=lambda t, p: compose.nav_sat_fix(t, DATUM, 0.02))
    with pytest.raises(BagError, match="implies no heading"):
        read_drive(path, AROUND).check_truth()


def test_rare_truth_is_interpolated_only_as_far_as_is_allowed(tmp_path):
    path = drive(tmp_path, POSE_STAMPED, rate_hz=1)
    known = [frame.truth is not None for frame in read_drive(path, AROUND).frames()]
    assert known == [k % 2 == 0 for k in range(9)]
    wider = replace(HEIGHT, truth=TruthOptions("/reference", max_gap_s=1.0))
    assert all(frame.truth is not None for frame in read_drive(path, wider).frames())


@pytest.mark.parametrize("wrong", [{"max_gap_s": 0.0}, {"max_gap_s": 61.0}, {"offset_s": math.inf}])
def test_limits_of_the_truth_options_are_named(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
        TruthOptions(**wrong)


def test_a_standing_vehicle_keeps_the_heading_of_its_way():
    way = [(0.0, 0.5 * k) for k in range(10)] + [(0.0, 4.5)] * 30 + [(0.0, 4.5 + 0.5 * k) for k in range(1, 10)]
    noise = np.random.default_rng(0).normal(0.0, 0.01, (len(way), 2))
    east, north = (np.array(way) + noise).T
    headings = courses([k * 10**8 for k in range(len(way))], east.tolist(), north.tolist())
    assert all(abs(math.degrees(wrap(heading - math.pi / 2))) < 2.0 for heading in headings)


def test_a_hole_in_the_track_leaves_no_heading_across_it():
    east, north = [0.0, 1.0, 2.0, 3.0, *[3.0] * 4], [*[0.0] * 4, 80.0, 81.0, 82.0, 83.0]
    stamps = [(k + 100 * (k > 3)) * 10**8 for k in range(8)]
    assert courses(stamps, east, north) == pytest.approx([*[0.0] * 4, *[math.pi / 2] * 4])


@pytest.mark.skipif(not COMMA.is_dir(), reason="shared/data/comma2k19 is not beside the checkout")
@pytest.mark.parametrize("step", [1, 20])
def test_the_course_of_a_real_drive_is_its_reference_velocity_at_20_and_at_1_hz(step):
    ecef, velocity = (np.load(COMMA / name)[::step] for name in ("frame_positions", "frame_velocities"))
    lon, lat, _ = Transformer.from_crs(4978, 4979, always_xy=True).transform(*ecef[0], radians=True)
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.array([-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)])
    moved, stamps = ecef - ecef[0], [round(second * 1e9) for second in np.load(COMMA / "frame_times")[::step]]
    found = courses(stamps, (moved @ east).tolist(), (moved @ north).tolist())
    error = np.degrees(wrap(np.array(found) - np.arctan2(velocity @ north, velocity @ east)))
    assert np.abs(error).max() < 0.25
