# SPDX-License-Identifier: Apache-2.0
"""The public writer: what was recorded elsewhere becomes a drive, real sensors and real photographs first."""

import hashlib
import math
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_drives import picture
from PIL import Image
from pyproj import Geod, Transformer
from rosbags.highlevel import AnyReader

from geodistill_core import DriveWriter
from geodistill_core.bags.info import inspect_bag
from geodistill_core.bags.manifest import load_manifest
from geodistill_core.bags.reader import read_drive
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import BagError, ConfigError, DatasetError
from geodistill_core.localization.readings import AttitudeReading, MotionReading
from geodistill_core.types import CameraModel, GeoPoint, forward_optical_mount, level_mount

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
COMMA, PHOTOS = DATA / "comma2k19", DATA / "street_photos"
NEEDS_COMMA = pytest.mark.skipif(not COMMA.is_dir(), reason="shared/data/comma2k19 is not beside the checkout")
NEEDS_PHOTOS = pytest.mark.skipif(not PHOTOS.is_dir(), reason="shared/data/street_photos is not beside the checkout")
GEOD = Geod(ellps="WGS84")
HERE = GeoPoint(48.1, -1.6)


def messages_of(path, topic):
    with AnyReader([path]) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        return [(stamp, reader.deserialize(data, c.msgtype)) for c, stamp, data in reader.messages(wanted)]


def array(*parts):
    return np.load(COMMA.joinpath(*parts), allow_pickle=False)


def comma_drive(path):
    """The minute as it is: two sensors with times of their own, and a reference at 20 Hz."""
    epoch_ns = 1_532_000_000_000_000_000
    with DriveWriter(path, forward_optical_mount(1.22)) as drive:
        times = array("global_pose", "frame_times").ravel()
        ecef = array("global_pose", "frame_positions")
        lon, lat, _ = Transformer.from_crs(4978, 4979, always_xy=True).transform(*ecef.T)
        velocity = array("global_pose", "frame_velocities")
        for k, second in enumerate(times):
            a, o = math.radians(lat[k]), math.radians(lon[k])
            east = velocity[k] @ [-math.sin(o), math.cos(o), 0.0]
            north = velocity[k] @ [-math.sin(a) * math.cos(o), -math.sin(a) * math.sin(o), math.cos(a)]
            drive.truth(epoch_ns + round(second * 1e9), Truth(lat[k], lon[k], math.atan2(north, east)))
        fixes = array("processed_log", "GNSS", "live_gnss_ublox", "value")
        for second, (lat_deg, lon_deg, *_) in zip(
            array("processed_log", "GNSS", "live_gnss_ublox", "t"), fixes, strict=True
        ):
            drive.fix(epoch_ns + round(second * 1e9), GeoPoint(lat_deg, lon_deg), 5.0)
        gyro, accelerometer = (array("processed_log", "IMU", name, "value") for name in ("gyro", "accelerometer"))
        for second, rates, forces in zip(array("processed_log", "IMU", "gyro", "t"), gyro, accelerometer, strict=True):
            # the device's axes are forward, right, down
            along = [tuple((values * [1.0, -1.0, -1.0]).tolist()) for values in (rates, forces)]
            drive.rates(epoch_ns + round(second * 1e9), *along)
        speeds = array("processed_log", "CAN", "speed", "value").ravel()
        for second, speed in zip(array("processed_log", "CAN", "speed", "t"), speeds, strict=True):
            drive.motion(MotionReading(epoch_ns + round(second * 1e9), float(speed), 0.0))
    return path


@NEEDS_COMMA
def test_a_real_minute_of_driving_becomes_a_bag_with_every_reading(tmp_path):
    path = comma_drive(tmp_path / "comma.mcap")
    with AnyReader([path]) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
    assert counts == {
        "/tf_static": 1, "/ground_truth/datum": 1, "/ground_truth/pose": 1200, "/ground_truth/fix": 1200,
        "/gnss/fix": 579, "/imu/data": 6256, "/wheel/odometry": 4974,
    }  # fmt: skip
    truths = messages_of(path, "/ground_truth/fix")
    ecef = array("global_pose", "frame_positions")
    lon, lat, _ = Transformer.from_crs(4978, 4979, always_xy=True).transform(*ecef[700])
    assert GEOD.inv(lon, lat, truths[700][1].longitude, truths[700][1].latitude)[2] < 1e-6
    odometry = [message for _, message in messages_of(path, "/wheel/odometry")]
    driven_m = odometry[-1].pose.pose.position.x
    places = [(message.longitude, message.latitude) for _, message in truths]
    steps = [GEOD.inv(*before, *after)[2] for before, after in pairwise(places)]
    assert driven_m == pytest.approx(sum(steps), rel=0.02)
    imus = messages_of(path, "/imu/data")
    assert imus[0][1].orientation_covariance[0] == -1.0
    assert imus[0][1].linear_acceleration.z == pytest.approx(9.545, abs=1e-3)
    # a receiver in a car is metres off, not tens
    fixes = messages_of(path, "/gnss/fix")
    assert all(list(fix.position_covariance[[0, 4]]) == [25.0, 25.0] for _, fix in fixes)
    times = np.array([stamp for stamp, _ in truths])
    apart = []
    for stamp, fix in fixes[::20]:
        near = truths[int(np.abs(times - stamp).argmin())][1]
        apart.append(GEOD.inv(fix.longitude, fix.latitude, near.longitude, near.latitude)[2])
    assert np.median(apart) < 8.0


@NEEDS_COMMA
def test_what_the_real_minute_lacks_for_localization_is_named(tmp_path):
    info = inspect_bag(comma_drive(tmp_path / "comma.mcap"))
    assert any("image" in line for line in info.missing) and any("heading" in line for line in info.remarks)
    assert info.duration_s == pytest.approx(60, abs=1.5)


@NEEDS_PHOTOS
def test_three_street_photographs_become_a_drive_with_their_own_bytes(tmp_path):
    files = sorted(PHOTOS.glob("e*.jpg"))
    camera = CameraModel(1920, 1080, np.array([[1000.0, 0, 960], [0, 1000, 540], [0, 0, 1]]))
    places = []
    with DriveWriter(tmp_path / "street.mcap", forward_optical_mount(1.4)) as drive:
        for file in files:
            gps = Image.open(file).getexif().get_ifd(0x8825)
            degrees = [float(d + m / 60 + s / 3600) for d, m, s in (gps[2], gps[4])]
            point = GeoPoint(degrees[0], -degrees[1])
            hours, minutes, seconds = (int(part) for part in gps[7])
            stamp = 1_666_137_600_000_000_000 + (hours * 3600 + minutes * 60 + seconds) * 1_000_000_000
            yaw = math.radians(90.0 - float(gps[15]))
            drive.image(stamp, file.read_bytes(), camera)
            drive.fix(stamp, point, 5.0)
            drive.attitude(AttitudeReading(stamp, 0.0, 0.0, yaw, math.radians(5)))
            places.append((point.latitude, point.longitude, yaw))
    images = [message.data.tobytes() for _, message in messages_of(drive.path, "/camera/image/compressed")]
    assert images == [file.read_bytes() for file in files]
    assert inspect_bag(drive.path).missing == ()
    frames = list(read_drive(drive.path).frames())
    assert [frame.dropped for frame in frames] == [None] * 3
    for frame, file, (latitude, longitude, yaw) in zip(frames, files, places, strict=True):
        prior = frame.frame_prior.prior
        assert (prior.latitude, prior.longitude) == pytest.approx((latitude, longitude), abs=1e-9)
        assert math.cos(prior.yaw_enu_rad - yaw) == pytest.approx(1.0)
        np.testing.assert_array_equal(frame.image.rgb, cv2.imread(str(file))[..., ::-1])


def panorama_drive(path, **options):
    with DriveWriter(path, level_mount(2.0), **options) as drive:
        for k in range(3):
            stamp = 1_000_000_000 * (k + 1)
            drive.image(stamp, picture(k))
            drive.fix(stamp, HERE, 4.0)
            drive.attitude(AttitudeReading(stamp, 0.0, 0.0, 1.0, 0.1))
            drive.truth(stamp, Truth(HERE.latitude + k * 1e-5, HERE.longitude, 1.0))
    return path


@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
def test_pixels_are_stored_without_loss_in_either_kind_of_file(tmp_path, suffix):
    frames = list(read_drive(panorama_drive(tmp_path / f"drive{suffix}")).frames())
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image.rgb, picture(k))
        assert frame.truth.latitude == pytest.approx(HERE.latitude + k * 1e-5, abs=1e-9)


def test_the_sidecar_states_mount_topics_map_and_hashes(tmp_path):
    (tmp_path / "tiles.mbtiles").write_bytes(b"imagery")
    path = panorama_drive(tmp_path / "drive.mcap", map_name="tiles.mbtiles")
    manifest = load_manifest(path)
    assert manifest.mount.tolist() == level_mount(2.0).tolist() and manifest.map == "tiles.mbtiles"
    assert manifest.sha256 == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("drive.mcap", "tiles.mbtiles")
    }
    with AnyReader([path]) as reader:
        assert manifest.topics == {topic: info.msgtype for topic, info in reader.topics.items()}


def test_odometry_adds_up_speeds_and_turns_and_stands_still_in_long_silences(tmp_path):
    with DriveWriter(tmp_path / "drive.mcap", level_mount(2.0)) as drive:
        for second, speed, rate in [
            (0, 2.0, 0.0),
            (1, 2.0, 0.0),
            (2, 2.0, math.pi / 2),
            (3, 2.0, 0.0),
            (3603, 2.0, 0.0),
        ]:
            drive.motion(MotionReading((second + 1) * 1_000_000_000, speed, rate))
    poses = [message.pose.pose for _, message in messages_of(drive.path, "/wheel/odometry")]
    leaning = 2.0 * math.cos(math.pi / 4)
    expected = [(0, 0), (2, 0), (2 + leaning, leaning), (2 + leaning, 2 + leaning), (2 + leaning, 2 + leaning)]
    for pose, place in zip(poses, expected, strict=True):
        assert (pose.position.x, pose.position.y) == pytest.approx(place, abs=1e-12)


def test_an_interrupted_drive_leaves_neither_recording_nor_sidecar(tmp_path):
    with pytest.raises(KeyboardInterrupt), DriveWriter(tmp_path / "drive.mcap", level_mount(2.0)) as drive:
        drive.fix(1, HERE, 3.0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xd8\xff\xe0 cut off"])
def test_bytes_that_are_no_picture_are_refused(tmp_path, data):
    with pytest.raises(DatasetError), DriveWriter(tmp_path / "drive.mcap", level_mount(2.0)) as drive:
        drive.image(1, data)


def test_names_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="beside"):
        DriveWriter(tmp_path / "drive.mcap", level_mount(2.0), map_name="../elsewhere.mbtiles")
    with pytest.raises(ConfigError, match="camera height"):
        DriveWriter(tmp_path / "drive.mcap", level_mount(20.0))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BagError, match=r"\.db3"):
        DriveWriter(tmp_path / "drive.bag", level_mount(2.0))


@pytest.mark.parametrize(
    "angles", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.5), (3.0, 0.2, -3.1), (0.1, math.pi / 2, 0.4), (math.pi, 0.0, 0.0)]
)
def test_any_mount_is_written_as_the_same_rotation(tmp_path, angles):
    rotation, _ = cv2.Rodrigues(np.array(angles))
    mount = level_mount(1.5)
    mount[:3, :3] = rotation
    with DriveWriter(tmp_path / "drive.mcap", mount) as drive:
        drive.fix(1, HERE, 3.0)
    turn = messages_of(drive.path, "/tf_static")[0][1].transforms[0].transform.rotation
    vector = np.array([turn.x, turn.y, turn.z])
    half = math.atan2(float(np.linalg.norm(vector)), turn.w)
    axis = vector / max(float(np.linalg.norm(vector)), 1e-12)
    back, _ = cv2.Rodrigues(axis * 2.0 * half)
    np.testing.assert_allclose(back, rotation, atol=1e-7)
