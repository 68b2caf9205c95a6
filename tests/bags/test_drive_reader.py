# SPDX-License-Identifier: Apache-2.0
"""Reading drives: order, priors, truth, and a reason for every frame that is not localized."""

import json
import math

import numpy as np
import pytest
from bag_drives import (
    CAMERA,
    DATUM,
    PINHOLE_TOPICS,
    SPEED,
    TOPICS,
    messages,
    ns,
    picture,
    without,
    write,
)
from pyproj import Geod

from geodistill_core.bags import compose
from geodistill_core.bags.manifest import DriveManifest, save_manifest
from geodistill_core.bags.reader import ReaderOptions, read_drive
from geodistill_core.bags.topics import StreamKind
from geodistill_core.bags.writer import typestore
from geodistill_core.errors import BagError

GEOD = Geod(ellps="WGS84")
HEIGHT = ReaderOptions(camera_height_m=1.8)


def frames_of(path, options=HEIGHT):
    reader = read_drive(path, options)
    return reader, list(reader.frames())


def east_m(point):
    bearing, _, distance = GEOD.inv(DATUM.longitude, DATUM.latitude, point.longitude, point.latitude)
    return distance * math.sin(math.radians(bearing))


def changed(entries, topic, stamp, make):
    return [
        (name, make(message), at) if (name, at) == (topic, stamp) else (name, message, at)
        for name, message, at in entries
    ]


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return write(tmp_path_factory.mktemp("drive") / "drive.mcap", messages())


def test_every_image_becomes_a_frame_with_prior_and_truth(drive):
    reader, frames = frames_of(drive)
    assert [frame.stamp_ns for frame in frames] == [ns(k / 2) for k in range(9)]
    assert reader.image_count == 9
    assert {frame.dropped for frame in frames} == {None}
    for index, frame in enumerate(frames):
        assert np.abs(frame.image.rgb.astype(int) - picture(index)).mean() < 3
        assert frame.image.height_m == 1.8 and frame.image.camera is None
        assert (frame.image.roll_rad, frame.image.pitch_rad) == pytest.approx((0.01, -0.02))
        assert frame.frame_prior.prior.yaw_enu_rad == pytest.approx(0.1)
        assert frame.frame_prior.prior.sigma_yaw_rad == pytest.approx(0.17)
        assert frame.fix.sigma_m == 8.0


def test_the_prior_is_the_last_fix_carried_to_the_image(drive):
    for k, frame in enumerate(frames_of(drive)[1]):
        fix_s = math.floor(k / 2 * 5 + 1e-9) / 5
        expected = SPEED * fix_s + SPEED * (k / 2 - fix_s) * math.cos(0.1)
        assert east_m(frame.frame_prior.prior) == pytest.approx(expected, abs=0.01)
        assert frame.frame_prior.fix_age_s == pytest.approx(k / 2 - fix_s, abs=1e-6)


def test_truth_is_interpolated_at_the_image_stamp(tmp_path):
    entries = [e for e in messages() if e[0] != "/ground_truth/pose" or (e[2] - ns(0)) % 200_000_000 == 0]
    for frame in frames_of(write(tmp_path / "d.mcap", entries))[1]:
        seconds = (frame.stamp_ns - ns(0)) * 1e-9
        assert east_m(frame.truth) == pytest.approx(SPEED * seconds, abs=0.001)
        assert frame.truth.yaw_enu_rad == pytest.approx(3.0 - 0.05 * seconds)


def test_a_fix_with_a_later_stamp_is_not_seen_even_if_recorded_earlier(tmp_path):
    entries = messages()
    far = compose.nav_sat_fix(ns(1.05), DATUM, 8.0)
    entries.insert(0, ("/gnss/fix", far, ns(1.05), ns(0)))
    frame = frames_of(write(tmp_path / "d.mcap", entries))[1][2]
    assert frame.fix.stamp_ns == ns(1.0)


def test_recording_order_within_a_second_does_not_matter(drive, tmp_path):
    rng = np.random.default_rng(3)
    late = [(t, m, at, at + int(rng.uniform(0, 0.4e9))) for t, m, at in messages()]
    shuffled = write(tmp_path / "late.mcap", late)
    for a, b in zip(frames_of(drive)[1], frames_of(shuffled)[1], strict=True):
        assert (a.frame_prior, a.truth, a.dropped) == (b.frame_prior, b.truth, b.dropped)


def test_reading_twice_gives_the_same_frames(drive):
    reader = read_drive(drive, HEIGHT)
    first, second = list(reader.frames()), list(reader.frames())
    assert [f.frame_prior for f in first] == [f.frame_prior for f in second]


def test_events_come_by_stamp_and_name_their_stream(drive):
    events = list(read_drive(drive, HEIGHT).events())
    stamps = [event.stamp_ns for event in events]
    assert stamps == sorted(stamps) and len(events) == len(messages())
    assert {event.kind for event in events} == set(StreamKind) - {StreamKind.CAMERA_INFO}
    fix = next(event for event in events if event.kind is StreamKind.FIX)
    assert typestore().deserialize_cdr(fix.raw.cdr, fix.raw.msgtype).latitude == fix.message.latitude


def with_image(stamp_s, message):
    return changed(messages(), "/camera/image/compressed", ns(stamp_s), message)


def test_truth_heading_is_interpolated_over_the_cut_at_pi(tmp_path):
    entries = without(messages(0.5), "/ground_truth/pose")
    for seconds, yaw in ((0.3, math.pi - 0.1), (0.7, -math.pi + 0.3)):
        entries.append(("/ground_truth/pose", compose.pose_stamped(ns(seconds), 0.0, 0.0, yaw), ns(seconds)))
    truth = frames_of(write(tmp_path / "d.mcap", entries))[1][1].truth
    assert truth.yaw_enu_rad == pytest.approx(-math.pi + 0.1)


def test_truth_is_not_made_up_outside_its_track_or_in_long_gaps(tmp_path):
    gap = [e for e in messages() if e[0] != "/ground_truth/pose" or not ns(0.9) < e[2] < ns(2.1)]
    entries = [e for e in gap if e[0] != "/ground_truth/pose" or e[2] < ns(3.2)]
    truths = [frame.truth is not None for frame in frames_of(write(tmp_path / "d.mcap", entries))[1]]
    assert truths == [True, True, False, False, False, True, True, False, False]


def cut(message):
    message.data = message.data[: len(message.data) // 2]
    return message


@pytest.mark.parametrize(
    ("entries", "index", "reason"),
    [
        (with_image(1.0, cut), 2, "truncated"),
        (with_image(1.0, lambda m: compose.compressed_image(ns(1.0), 0 * picture(0))), 2, "blank"),
        (with_image(1.0, lambda m: compose.compressed_image(0, picture(0))), 0, "stamp_zero"),
        (with_image(1.0, lambda m: compose.compressed_image(ns(0.5), picture(0))), 2, "stamp_repeated"),
        ([e for e in messages() if e[0] != "/gnss/fix" or e[2] > ns(0.1)], 0, "no_fix"),
        ([e for e in messages() if e[0] != "/gnss/fix" or e[2] < ns(0.3)], 8, "fix_stale"),
        ([e for e in messages() if e[0] != "/imu/data" or e[2] < ns(0.3)], 4, "attitude_stale"),
        (without(messages(), "/imu/data"), 4, "no_heading"),
    ],
)
def test_a_frame_that_cannot_be_localized_is_kept_with_its_reason(tmp_path, entries, index, reason):
    frames = frames_of(write(tmp_path / "d.mcap", entries))[1]
    assert len(frames) == 9
    assert frames[index].dropped == reason
    assert frames[index].image is None and frames[index].frame_prior is None and frames[index].fix is None
    assert all((frame.dropped is None) == (frame.image is not None) for frame in frames)


def test_refused_readings_are_counted_by_stream_and_reason(tmp_path):
    entries = changed(messages(), "/gnss/fix", ns(1.0), lambda m: compose.nav_sat_fix(ns(1.0), None, 8.0))
    far = compose.nav_sat_fix(ns(2.0), compose.GeoPoint(47.6, 8.7), 8.0)
    entries = changed(entries, "/gnss/fix", ns(2.0), lambda m: far)
    reader, frames = frames_of(write(tmp_path / "d.mcap", entries))
    assert reader.dropped_readings == {"gnss.jump": 1, "gnss.no_fix": 1}
    assert frames[2].fix.stamp_ns == ns(0.8)


def pinhole_entries():
    entries = without(messages(), "/camera/image/compressed")
    for k in range(9):
        stamp = ns(k / 2)
        entries.append(("/camera/image/compressed", compose.compressed_image(stamp, picture(k, 64, 48)), stamp))
        entries.append(("/camera/camera_info", compose.camera_info(stamp, CAMERA), stamp))
    return sorted(entries, key=lambda entry: entry[2])


def test_a_camera_info_makes_it_a_pinhole_camera(tmp_path):
    reader, frames = frames_of(write(tmp_path / "d.mcap", pinhole_entries(), PINHOLE_TOPICS))
    assert reader.pinhole
    camera = frames[0].image.camera
    assert camera.K.tolist() == CAMERA.K.tolist() and camera.distortion == CAMERA.distortion
    optical_axis = frames[0].image.T_base_camera[:3, 2]
    assert optical_axis.tolist() == [1, 0, 0]


def test_images_of_another_size_than_the_camera_info_are_dropped(tmp_path):
    entries = changed(
        pinhole_entries(),
        "/camera/image/compressed",
        ns(1.5),
        lambda m: compose.compressed_image(ns(1.5), picture(0, 96, 48)),
    )
    frames = frames_of(write(tmp_path / "d.mcap", entries, PINHOLE_TOPICS))[1]
    assert [frame.dropped for frame in frames] == [None] * 3 + ["camera_size"] + [None] * 5


def test_images_before_the_first_camera_info_are_dropped(tmp_path):
    entries = [e for e in pinhole_entries() if e[0] != "/camera/camera_info" or e[2] > ns(0.7)]
    frames = frames_of(write(tmp_path / "d.mcap", entries, PINHOLE_TOPICS))[1]
    assert [frame.dropped for frame in frames] == ["no_camera_info"] * 2 + [None] * 7


def test_an_image_that_is_no_panorama_needs_a_camera_info(tmp_path):
    entries = without(pinhole_entries(), "/camera/camera_info")
    with pytest.raises(BagError, match="CameraInfo"):
        frames_of(write(tmp_path / "d.mcap", entries))


def test_the_mount_comes_from_options_or_sidecar_and_is_never_guessed(tmp_path):
    path = write(tmp_path / "drive.mcap", messages())
    with pytest.raises(BagError, match="camera height"):
        frames_of(path, ReaderOptions())
    mount = np.eye(4)
    mount[:3, 3] = 0.5, 0.0, 2.2
    save_manifest(path, DriveManifest(T_base_camera=mount.tolist()))
    assert frames_of(path, ReaderOptions())[1][0].image.T_base_camera.tolist() == mount.tolist()
    assert frames_of(path, HEIGHT)[1][0].image.height_m == 1.8


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"T_base_camera": [[1,0,0,0]]}', '{"T_base_camera": "x"}', '{"unknown": 1}'],
)
def test_a_malformed_sidecar_is_refused_by_name(tmp_path, text):
    path = write(tmp_path / "drive.mcap", messages(0.5))
    (tmp_path / "drive.json").write_text(text)
    with pytest.raises(BagError, match=r"drive\.json"):
        read_drive(path)


def test_a_sidecar_of_a_newer_schema_is_refused(tmp_path):
    path = write(tmp_path / "drive.mcap", messages(0.5))
    sidecar = save_manifest(path, DriveManifest(T_base_camera=np.eye(4).tolist()))
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"schema_version": 99}))
    with pytest.raises(BagError, match="99"):
        read_drive(path)


@pytest.mark.parametrize(
    ("missing", "words"),
    [("/camera/image/compressed", "image"), ("/gnss/fix", "fix"), ("/ground_truth/datum", "datum")],
)
def test_a_missing_stream_names_what_is_there(tmp_path, missing, words):
    path = write(tmp_path / "d.mcap", without(messages(0.5), missing))
    with pytest.raises(BagError, match=words) as caught:
        read_drive(path, HEIGHT)
    if missing != "/ground_truth/datum":
        assert "/wheel/odometry (nav_msgs/msg/Odometry)" in str(caught.value)


def renamed(names):
    entries = [(names.get(topic, topic), *rest) for topic, *rest in messages()]
    return entries, {names.get(topic, topic): msgtype for topic, msgtype in TOPICS.items()}


def test_streams_under_other_names_are_found_by_type(tmp_path):
    names = {"/camera/image/compressed": "/front/jpeg", "/gnss/fix": "/ublox/fix", "/imu/data": "/xsens/imu"}
    frames = frames_of(write(tmp_path / "d.mcap", *renamed(names)))[1]
    assert {frame.dropped for frame in frames} == {None}


def test_two_candidates_must_be_chosen_between(tmp_path):
    entries, topics = renamed({"/gnss/fix": "/ublox/fix"})
    entries += [("/novatel/fix", compose.nav_sat_fix(ns(k), DATUM, 2.0), ns(k)) for k in range(4)]
    path = write(tmp_path / "d.mcap", entries, topics | {"/novatel/fix": TOPICS["/gnss/fix"]})
    with pytest.raises(BagError, match="/novatel/fix, /ublox/fix"):
        read_drive(path, HEIGHT)
    chosen = ReaderOptions(camera_height_m=1.8, topics={StreamKind.FIX: "/novatel/fix"})
    assert frames_of(path, chosen)[1][0].fix.sigma_m == 2.0


@pytest.mark.parametrize("topic", ["/absent", "/imu/data"])
def test_a_chosen_topic_must_exist_and_fit(tmp_path, topic):
    path = write(tmp_path / "d.mcap", messages(0.5))
    with pytest.raises(BagError, match=topic):
        read_drive(path, ReaderOptions(topics={StreamKind.FIX: topic}))


def test_no_drive_states_how_certain_the_cameras_height_is_so_the_reader_is_told(drive):
    assert {frame.image.sigma_height_m for frame in frames_of(drive)[1]} == {0.0}
    options = ReaderOptions(camera_height_m=1.8, sigma_height_m=0.25)
    assert {frame.image.sigma_height_m for frame in frames_of(drive, options)[1]} == {0.25}
