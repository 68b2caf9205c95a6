# SPDX-License-Identifier: Apache-2.0
"""`inspect_bag` says what a localization run needs and what is missing."""

import math

import pytest
from bag_drives import PINHOLE_TOPICS, TOPICS, messages, ns, picture, without, write

from geodistill_core.bags import compose
from geodistill_core.bags.info import inspect_bag
from geodistill_core.bags.manifest import DriveManifest, save_manifest
from geodistill_core.bags.topics import StreamKind
from geodistill_core.errors import BagError
from geodistill_core.types import level_mount


def drive(tmp_path, entries=None, topics=None, mounted=True):
    path = write(tmp_path / "drive.mcap", messages(1.0) if entries is None else entries, topics)
    if mounted:
        save_manifest(path, DriveManifest(T_base_camera=level_mount(2.0).tolist()))
    return path


def test_a_complete_drive_is_ready(tmp_path):
    info = inspect_bag(drive(tmp_path))
    assert info.missing == () and info.duration_s == pytest.approx(1.0)
    streams = {stream.kind: stream for stream in info.streams}
    assert streams[StreamKind.IMAGE].note == "128 x 64 compressed, panorama"
    assert streams[StreamKind.FIX].note == "sigma 8.0 m (stated)"
    assert streams[StreamKind.ATTITUDE].note == f"heading sigma {math.degrees(0.17):.1f} deg"
    assert streams[StreamKind.ATTITUDE].rate_hz == pytest.approx(50.0)
    assert streams[StreamKind.FIX].messages == 6
    assert info.to_json()["ready"] is True


def without_orientation():
    out = []
    for topic, message, stamp in messages(1.0):
        if topic == "/imu/data":
            message.orientation_covariance[0] = -1.0
        out.append((topic, message, stamp))
    return out


def without_fix():
    entries = without(messages(1.0), "/gnss/fix")
    return entries + [("/gnss/fix", compose.nav_sat_fix(ns(k / 5), None, 8.0), ns(k / 5)) for k in range(6)]


def narrow_image():
    entries = without(messages(1.0), "/camera/image/compressed")
    return [*entries, ("/camera/image/compressed", compose.compressed_image(ns(0), picture(0, 80, 60)), ns(0))]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (without(messages(1.0), "/camera/image/compressed"), "CompressedImage"),
        (without(messages(1.0), "/gnss/fix"), "NavSatFix"),
        (without(messages(1.0), "/imu/data"), "heading"),
        (without_orientation(), "heading"),
        (without_fix(), "no_fix"),
        (narrow_image(), "CameraInfo"),
    ],
)
def test_what_is_missing_is_named(tmp_path, entries, words):
    info = inspect_bag(drive(tmp_path, entries))
    assert len(info.missing) == 1 and words in info.missing[0]
    assert info.to_json()["ready"] is False


def test_a_missing_mount_is_named(tmp_path):
    assert ["camera height" in line for line in inspect_bag(drive(tmp_path, mounted=False)).missing] == [True]


def test_topics_that_are_not_used_are_listed(tmp_path):
    entries = [*messages(1.0), ("/other/pose", compose.pose_stamped(ns(0), 0, 0, 0), ns(0))]
    topics = TOPICS | {"/other/pose": PINHOLE_TOPICS["/ground_truth/pose"]}
    assert inspect_bag(drive(tmp_path, entries, topics)).other_topics == ("/other/pose",)


def test_an_unreadable_file_is_a_bag_error(tmp_path):
    (tmp_path / "drive.mcap").write_bytes(b"not a bag")
    with pytest.raises(BagError, match=r"drive\.mcap"):
        inspect_bag(tmp_path / "drive.mcap")
