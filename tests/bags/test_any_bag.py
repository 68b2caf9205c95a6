# SPDX-License-Identifier: Apache-2.0
"""A bag that nobody made for us: which topics serve, where the camera sits, where the heading comes from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geodistill_core.bags import compose
from geodistill_core.bags.definitions import Definitions
from geodistill_core.bags.reader import ReaderOptions, read_drive
from geodistill_core.bags.storage.parts import Definition
from geodistill_core.bags.topics import (
    CAMERA_INFO,
    IMAGE_COMPRESSED,
    IMAGE_RAW,
    IMU,
    NAV_SAT_FIX,
    TF_MESSAGE,
    UNUSED,
    StreamKind,
    find_topics,
)
from geodistill_core.camera import forward_optical_mount, level_mount
from geodistill_core.errors import BagError
from geodistill_core.localization.readings import HeadingSource
from tests.bags.bag_drives import CAMERA, FRAME, TOPICS, messages, ns, picture, without, write

HEIGHT = ReaderOptions(camera_height_m=1.8)
FIX = {"/ublox/fix": NAV_SAT_FIX}


INFO = {"/a/camera_info": CAMERA_INFO}
TWINS = {"/a/image": IMAGE_RAW, "/a/image/compressed": IMAGE_COMPRESSED}


@pytest.mark.parametrize(
    ("found", "kind", "topic"),
    [
        (TWINS, StreamKind.IMAGE, "/a/image/compressed"),
        ({"/front/image_raw": IMAGE_RAW}, StreamKind.IMAGE, "/front/image_raw"),
        ({"/a/image": IMAGE_RAW, "/b/camera_info": CAMERA_INFO} | INFO, StreamKind.CAMERA_INFO, "/a/camera_info"),
        (TWINS | INFO, StreamKind.CAMERA_INFO, "/a/camera_info"),
        ({"/image": IMAGE_RAW, "/info": CAMERA_INFO}, StreamKind.CAMERA_INFO, "/info"),
    ],
)
def test_topics_are_found_by_type(found, kind, topic):
    resolved, problems = find_topics(found | FIX)
    assert problems == [] and resolved[kind] == topic and resolved[StreamKind.FIX] == "/ublox/fix"


def test_the_camera_info_of_another_camera_is_not_taken():
    found = {"/pano/image": IMAGE_RAW, "/front/image": IMAGE_RAW, "/front/camera_info": CAMERA_INFO} | FIX
    resolved, problems = find_topics(found, {StreamKind.IMAGE: "/pano/image"})
    assert problems == [] and StreamKind.CAMERA_INFO not in resolved


def test_every_open_choice_is_named_at_once_with_the_option_that_makes_it(tmp_path):
    found = {"/a/image": IMAGE_RAW, "/b/image": IMAGE_RAW, "/c/fix": NAV_SAT_FIX, "/d/fix": NAV_SAT_FIX, "/imu": IMU}
    _, problems = find_topics(found)
    assert len(problems) == 2 and "--topic image=NAME" in problems[0] and "--topic fix=NAME" in problems[1]
    entries = messages(0.2)
    entries += [("/other/fix", compose.nav_sat_fix(ns(0), FRAME.origin, 2.0), ns(0))]
    entries += [("/other/imu", compose.imu(ns(0), (0.0, 0.0, 0.0), (0.1, 0.1, 0.1)), ns(0))]
    renamed = [(topic.replace("/gnss", "/ublox").replace("/imu", "/xsens"), *rest) for topic, *rest in entries]
    topics = {topic.replace("/gnss", "/ublox").replace("/imu", "/xsens"): name for topic, name in TOPICS.items()}
    path = write(tmp_path / "d.mcap", renamed, topics | {"/other/fix": NAV_SAT_FIX, "/other/xsens": IMU})
    with pytest.raises(BagError, match=r"--topic fix=NAME.*--topic attitude=NAME") as refused:
        read_drive(path, HEIGHT)
    assert refused.value.exit_code == 2


def test_a_stream_can_be_left_out(tmp_path):
    path = write(tmp_path / "d.mcap", messages(1.0))
    reader = read_drive(path, ReaderOptions(camera_height_m=1.8, topics={StreamKind.MOTION: UNUSED}))
    assert StreamKind.MOTION not in reader.topics
    with pytest.raises(BagError, match="topic none for the image"):
        read_drive(path, ReaderOptions(topics={StreamKind.IMAGE: UNUSED}))


def without_orientation(entries):
    for topic, message, _ in entries:
        if topic == "/imu/data":
            message.orientation_covariance[0] = -1.0
    return entries


@pytest.mark.parametrize("entries", [without(messages(6.0), "/imu/data"), without_orientation(messages(6.0))])
def test_image_and_fix_are_enough_the_course_gives_the_heading(tmp_path, entries):
    reader = read_drive(write(tmp_path / "d.mcap", without(entries, "/wheel/odometry")), HEIGHT)
    frames = list(reader.frames())
    assert reader.heading_source is HeadingSource.COURSE
    # fifteen metres at five metres a second, due east
    assert [frame.dropped for frame in frames] == ["no_heading"] * 7 + [None] * 6
    assert frames[-1].frame_prior.prior.yaw_enu_rad == pytest.approx(0.0, abs=1e-3)
    assert "no attitude is recorded; the heading is the course over ground of the GNSS fixes" in reader.remarks()
    assert read_drive(write(tmp_path / "e.mcap", messages(1.0)), HEIGHT).heading_source is HeadingSource.ATTITUDE


def tf(*transforms):
    """A TFMessage of (parent, child, T_parent_child)."""
    whole = [compose.static_transforms(ns(0), {child: T}).transforms[0] for _, child, T in transforms]
    for stamped, (parent, *_) in zip(whole, transforms, strict=True):
        stamped.header.frame_id = parent
    message = compose.static_transforms(ns(0), {})
    message.transforms = whole
    return message


def moved(x, y, z):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def with_tf(tmp_path, message, pinhole):
    entries = [*messages(0.5), ("/tf_static", message, ns(0))]
    topics = TOPICS | {"/tf_static": TF_MESSAGE}
    if pinhole:
        entries = without(entries, "/camera/image/compressed")
        entries += [("/camera/camera_info", compose.camera_info(ns(0), CAMERA), ns(0))]
        entries += [("/camera/image/compressed", compose.compressed_image(ns(0.5), picture(0, 64, 48)), ns(0.5))]
        topics |= {"/camera/camera_info": CAMERA_INFO}
    return read_drive(write(tmp_path / "d.mcap", sorted(entries, key=lambda entry: entry[2]), topics), ReaderOptions())


def test_the_mount_is_found_in_tf_static_through_frames_between(tmp_path):
    optical = forward_optical_mount(0.0)
    tree = tf(
        ("base_link", "mast", moved(0.5, 0.0, 1.0)),
        ("/mast", "camera", moved(0.0, 0.1, 0.6) @ optical),
        ("base_footprint", "base_link", moved(0.0, 0.0, 0.3)),
    )
    reader = with_tf(tmp_path, tree, pinhole=True)
    np.testing.assert_allclose(reader.mount(), moved(0.5, 0.1, 1.9) @ optical, atol=1e-12)
    frame = list(reader.frames())[-1]
    assert frame.dropped is None and frame.image.height_m == pytest.approx(1.9)
    assert "camera mount from /tf_static: base_footprint to camera, 1.90 m high" in reader.remarks()


@pytest.mark.parametrize("pinhole", [True, False])
def test_a_camera_frame_of_the_other_convention_is_turned_and_said_so(tmp_path, pinhole):
    named = level_mount(1.5) if pinhole else forward_optical_mount(1.5)
    reader = with_tf(tmp_path, tf(("base_link", "camera", named)), pinhole)
    expected = forward_optical_mount(1.5) if pinhole else level_mount(1.5)
    np.testing.assert_allclose(reader.mount(), expected, atol=1e-12)
    assert any("turned from" in line for line in reader.remarks())


@pytest.mark.parametrize(
    "tree",
    [
        tf(("base_link", "lidar", level_mount(2.0))),
        tf(("elsewhere", "camera", level_mount(2.0))),
        tf(("camera", "other", level_mount(2.0)), ("other", "camera", level_mount(2.0))),
        tf(("base_link", "camera", moved(0, 0, math.nan))),
    ],
)
def test_a_mount_is_never_guessed(tmp_path, tree):
    with pytest.raises(BagError, match="camera height"):
        with_tf(tmp_path, tree, pinhole=False).mount()


@pytest.mark.parametrize(
    "name",
    ["a/msg/B:\n    pass\nraise SystemExit('executed')\nclass C", "a/msg/B C", "../x", "a/msg/B\0"],
)
def test_a_type_name_that_is_code_never_runs(name):
    definitions = Definitions({name: Definition("ros2msg", "uint8 x")})
    with pytest.raises(BagError, match=r"defines|cannot be read"):
        definitions.decode(b"\0\1\0\0\1", name)
