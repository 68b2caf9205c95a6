# SPDX-License-Identifier: Apache-2.0
"""`inspect_bag` says what a localization run needs and what is missing."""

import hashlib
import math

import numpy as np
import pytest
from bag_drives import CAMERA, DATUM, FRAME, PINHOLE_TOPICS, TOPICS, messages, ns, picture, without, write

from geodistill_core.bags import compose
from geodistill_core.bags.drive_writer import DriveWriter
from geodistill_core.bags.info import inspect_bag
from geodistill_core.bags.manifest import DriveManifest, save_manifest
from geodistill_core.bags.topics import StreamKind
from geodistill_core.errors import BagError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps import RasterSource, write_mbtiles
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
        (without_fix(), "no_fix"),
        (narrow_image(), "CameraInfo"),
    ],
)
def test_what_is_missing_is_named(tmp_path, entries, words):
    info = inspect_bag(drive(tmp_path, entries))
    assert len(info.missing) == 1 and words in info.missing[0]
    assert info.to_json()["ready"] is False


@pytest.mark.parametrize("entries", [without(messages(1.0), "/imu/data"), without_orientation()])
def test_without_an_attitude_the_course_over_ground_serves(tmp_path, entries):
    info = inspect_bag(drive(tmp_path, entries))
    assert info.missing == () and any(line.startswith("heading") for line in info.remarks)


@pytest.mark.parametrize(
    ("topic", "word"), [("/wheel/odometry", "odometry"), ("/ground_truth/pose", "ground truth"), (None, "map")]
)
def test_what_a_run_can_do_without_is_a_remark(tmp_path, topic, word):
    gone = [topic, "/ground_truth/datum"] if topic == "/ground_truth/pose" else [topic]
    lines = inspect_bag(drive(tmp_path, without(messages(1.0), *gone))).remarks
    assert [line.partition(":")[0] for line in lines] == ([word, "map"] if topic else ["map"])


def test_the_map_beside_is_found_and_must_hold_the_first_fix(tmp_path):
    path = drive(tmp_path)
    square = np.array([-50.0, 50.0])
    here, elsewhere = (GeoBounds.enclosing(*FRAME.to_geodetic(square + east, square)) for east in (0.0, 5e3))
    raster = RasterSource(np.full((512, 512, 3), 90, np.uint8), DATUM, 0.5)
    write_mbtiles(tmp_path / "drive.mbtiles", raster, here, 18)
    info = inspect_bag(path)
    assert info.map == tmp_path / "drive.mbtiles" and info.remarks == ()
    raster = RasterSource(np.full((512, 512, 3), 90, np.uint8), FRAME.point(5e3, 0), 0.5)
    write_mbtiles(tmp_path / "drive.mbtiles", raster, elsewhere, 18)
    assert "does not hold the first fix" in inspect_bag(path).remarks[0]
    (tmp_path / "drive.mbtiles").write_bytes(b"no map")
    assert inspect_bag(path).remarks[0].startswith("map:")


def test_the_mount_may_come_from_static_transforms(tmp_path):
    with DriveWriter(tmp_path / "drive.mcap", level_mount(1.8)) as writer:
        for topic, message, stamp in messages(1.0):
            if topic == "/camera/image/compressed":
                writer.image(stamp, message.data.tobytes())
            elif topic == "/gnss/fix":
                writer.fix(stamp, DATUM, 5.0)
    (tmp_path / "drive.json").unlink()
    info = inspect_bag(tmp_path / "drive.mcap")
    assert info.missing == () and any("1.80 m high" in line for line in info.remarks)


def test_a_camera_info_of_another_size_is_a_problem(tmp_path):
    entries = [*messages(1.0), ("/camera/camera_info", compose.camera_info(ns(0), CAMERA), ns(0))]
    assert "64 x 48" in inspect_bag(drive(tmp_path, entries, PINHOLE_TOPICS)).missing[0]


def test_figures_of_the_files_are_those_on_the_disk(tmp_path):
    info = inspect_bag(drive(tmp_path))
    assert (info.storage, info.files, info.start_ns) == ("mcap", 1, ns(0))
    assert info.size_bytes == (tmp_path / "drive.mcap").stat().st_size


def test_reading_all_of_it_finds_halts_and_files_that_were_altered(tmp_path):
    entries = [entry for entry in messages(8.0) if not ns(2) < entry[2] < ns(7)]
    path = drive(tmp_path, entries)
    assert any("halts for 5.0 s" in line for line in inspect_bag(path, full=True).remarks)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    mount = level_mount(2.0).tolist()
    save_manifest(path, DriveManifest(T_base_camera=mount, sha256={"drive.mcap": digest}))
    assert inspect_bag(path, full=True).missing == ()
    save_manifest(path, DriveManifest(T_base_camera=mount, sha256={"drive.mcap": "0" * 64, "gone.mbtiles": digest}))
    assert [line.split()[1] for line in inspect_bag(path, full=True).missing] == ["drive.mcap", "gone.mbtiles"]
    assert inspect_bag(path).missing == ()


def test_a_sidecar_cannot_point_out_of_its_folder(tmp_path):
    path = drive(tmp_path / "inside")
    (tmp_path / "drive.mbtiles").write_bytes(b"elsewhere")
    for name in ("../drive.mbtiles", str(tmp_path / "drive.mbtiles")):
        save_manifest(path, DriveManifest(T_base_camera=level_mount(2.0).tolist(), map=name, sha256={name: "0"}))
        info = inspect_bag(path, full=True)
        assert info.map is None and "is gone" in info.missing[0]


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
