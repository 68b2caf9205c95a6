# SPDX-License-Identifier: Apache-2.0
"""KITTI's frames as recordings: times, what the inertial unit said, the camera, and where priors are wrong."""

import math

import numpy as np
import pytest
from pyproj import Geod
from rosbags.highlevel import AnyReader

from geodistill_core.bags.datasets.bags import write_dataset_bags
from geodistill_core.bags.datasets.drive import BagOptions
from geodistill_core.bags.datasets.kitti import KittiSplit, plan_kitti
from geodistill_core.bags.reader import read_drive
from geodistill_core.datasets.case import PriorNoise
from geodistill_core.errors import ConfigError
from geodistill_core.maps import open_map
from geodistill_core.types import GeoPoint
from tests.twins.small import DRIVE, RECORDS, SHARES, K, frame_name, kitti_tree, put

GEOD = Geod(ellps="WGS84")
NOON = 1_317_384_000_000_000_000  # 2011-09-30 12:00:00 UTC
TIMES = {3: NOON + 300_000_003, 4: NOON + 400_000_004, 9: NOON + 900_000_009}


def convert(root, folder, noise=None, split=None, options=None):
    plan = plan_kitti(root, split or KittiSplit(), noise or PriorNoise())
    return write_dataset_bags(plan, folder, options or BagOptions(jobs=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = kitti_tree(tmp_path_factory.mktemp("kitti"))
    (bag,) = convert(root, tmp_path_factory.mktemp("bags"))
    return bag


def messages_of(path, topic):
    with AnyReader([path]) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        return {stamp: reader.deserialize(data, c.msgtype) for c, stamp, data in reader.messages(wanted)}


def test_frames_are_recorded_at_the_times_that_the_drive_states(made):
    names = {stamp: message.data for stamp, message in messages_of(made.bag, "/dataset/sample").items()}
    assert names == {stamp: frame_name(number) for number, stamp in TIMES.items()}
    assert made.bag.name == DRIVE and made.manifest.dataset.clock == "recorded"


def test_attitude_rates_and_speed_are_those_of_the_inertial_unit(made):
    imus, odometry = messages_of(made.bag, "/imu/data"), messages_of(made.bag, "/wheel/odometry")
    for number, stamp in TIMES.items():
        *_, roll, pitch, yaw, speed, accelerations, rates = RECORDS[number]
        imu, q = imus[stamp], imus[stamp].orientation
        assert (imu.angular_velocity.x, imu.angular_velocity.y, imu.angular_velocity.z) == rates
        assert (imu.linear_acceleration.x, imu.linear_acceleration.y, imu.linear_acceleration.z) == accelerations
        assert imu.angular_velocity_covariance[0] == 0.0
        down = 2 * (q.x * q.z - q.w * q.y), 2 * (q.y * q.z + q.w * q.x), 1 - 2 * (q.x**2 + q.y**2)
        assert down == pytest.approx(
            (-math.sin(pitch), math.sin(roll) * math.cos(pitch), math.cos(roll) * math.cos(pitch))
        )
        believed = yaw - math.radians(10.0 * SHARES[number][2])
        ahead = 1 - 2 * (q.y**2 + q.z**2), 2 * (q.x * q.y + q.w * q.z)
        assert math.atan2(*ahead[::-1]) == pytest.approx(math.remainder(believed, 2 * math.pi), abs=1e-9)
        assert odometry[stamp].twist.twist.linear.x == speed and odometry[stamp].twist.twist.angular.z == rates[2]


def test_the_fix_is_displaced_from_the_camera_as_the_list_says(made):
    truths, fixes = messages_of(made.bag, "/ground_truth/fix"), messages_of(made.bag, "/gnss/fix")
    for number, stamp in TIMES.items():
        right, up, _ = SHARES[number]
        latitude, longitude, yaw = (RECORDS[number][k] for k in (0, 1, 4))
        truth, fix = truths[stamp], fixes[stamp]
        # the camera sits 1.08 m ahead of the inertial unit and 0.26 m to its right
        azimuth, _, apart_m = GEOD.inv(longitude, latitude, truth.longitude, truth.latitude)
        bearing = math.radians(90 - azimuth) - yaw
        assert (apart_m * math.cos(bearing), apart_m * math.sin(bearing)) == pytest.approx((1.08, -0.26), abs=1e-3)
        azimuth, _, apart_m = GEOD.inv(fix.longitude, fix.latitude, truth.longitude, truth.latitude)
        bearing = math.radians(90 - azimuth) - yaw
        offset = apart_m * math.cos(bearing), apart_m * math.sin(bearing)
        assert offset == pytest.approx((20 * right, 20 * up), abs=2e-3)
        assert fix.position_covariance[0] == pytest.approx(20**2 / 3)


def test_the_camera_info_belongs_to_the_rectified_image(made):
    message = messages_of(made.bag, "/camera/camera_info")[TIMES[9]]
    assert (message.width, message.height) == (124, 38)
    assert message.k.reshape(3, 3).tolist() == [[K[0], 0, K[1]], [0, K[0], K[2]], [0, 0, 1]]
    assert not message.d.any()
    mount = messages_of(made.bag, "/tf_static").popitem()[1].transforms[0]
    assert (mount.header.frame_id, mount.child_frame_id, mount.transform.translation.z) == ("base_link", "camera", 1.65)
    q = mount.transform.rotation
    turn = np.array([q.x, q.y, q.z, q.w])
    # the optical frame looks along the base's x axis, its x axis to the base's right
    assert np.abs(turn @ [0.5, -0.5, 0.5, -0.5]) == pytest.approx(1.0)


def test_a_drive_reader_takes_every_frame_and_the_map_is_under_it(made):
    reader = read_drive(made.bag)
    frames = list(reader.frames())
    assert reader.pinhole and [frame.dropped for frame in frames] == [None] * 3
    with open_map(made.map) as source:
        for frame in frames:
            tile = source.tile(GeoPoint(frame.truth.latitude, frame.truth.longitude), 40.0, 0.2)
            assert tile.valid.all()
    roll = {frame.stamp_ns: frame.image.roll_rad for frame in frames}
    assert roll == pytest.approx({TIMES[number]: RECORDS[number][2] for number in TIMES})


def test_a_frame_that_is_listed_twice_is_driven_again_an_hour_later(tmp_path):
    root = kitti_tree(tmp_path / "tree", listed=(3, 4, 3))
    (bag,) = convert(root, tmp_path / "bags")
    stamps = sorted(messages_of(bag.bag, "/dataset/sample"))
    assert stamps == [TIMES[3], TIMES[4], TIMES[3] + 3_600_000_000_000]
    assert [frame.dropped for frame in read_drive(bag.bag).frames()] == [None] * 3


def test_without_recorded_times_frames_are_a_tenth_of_a_second_apart_and_the_sidecar_says_so(tmp_path):
    root = kitti_tree(tmp_path / "tree", stamps=False)
    (bag,) = convert(root, tmp_path / "bags")
    midnight = NOON - 12 * 3_600_000_000_000
    assert sorted(messages_of(bag.bag, "/dataset/sample")) == [midnight + n * 100_000_000 for n in (3, 4, 9)]
    assert bag.manifest.dataset.clock.startswith("nominal, 10 Hz") and str(tmp_path) not in bag.sidecar.read_text()


@pytest.mark.parametrize("times", ["2011-09-30 12:00:00.0\n" * 12, "2011-09-30 12:00:00.000000000\n" * 12])
def test_times_that_make_no_sense_are_not_used(tmp_path, times):
    root = kitti_tree(tmp_path / "tree")
    put(root / "raw_data" / "2011_09_30" / DRIVE / "image_02" / "timestamps.txt", times)
    (bag,) = convert(root, tmp_path / "bags")
    assert "timestamps.txt" in bag.manifest.dataset.clock


def test_missing_records_and_empty_pictures_are_skipped_and_named(tmp_path):
    root = kitti_tree(tmp_path / "tree")
    drive = root / "raw_data" / "2011_09_30" / DRIVE
    (drive / "oxts" / "data" / "0000000003.txt").write_text("")
    (drive / "image_02" / "data" / "0000000009.png").write_bytes(b"")
    (bag,) = convert(root, tmp_path / "bags")
    origin = bag.manifest.dataset
    assert (origin.samples, origin.frames) == (3, 1)
    assert sorted(origin.skipped) == [frame_name(3), frame_name(9)]
    assert "0000000003.txt" in origin.skipped[frame_name(3)]


def test_training_frames_are_displaced_by_chance_the_same_for_the_same_seed(tmp_path):
    root = kitti_tree(tmp_path / "tree")
    put(root / "train_files.txt", "".join(f"{frame_name(number)}\n" for number in RECORDS))

    def fixes(name, seed):
        (bag,) = convert(root, tmp_path / name, PriorNoise(seed=seed), KittiSplit("train"))
        return [(m.latitude, m.longitude) for m in messages_of(bag.bag, "/gnss/fix").values()]

    first = fixes("a", 1)
    assert first == fixes("b", 1) and first != fixes("c", 2)
    assert len(np.unique(np.array(first), axis=0)) == 3


def test_drives_and_parts_that_do_not_exist_are_refused(tmp_path):
    root = kitti_tree(tmp_path / "tree")
    with pytest.raises(ConfigError, match=DRIVE):
        plan_kitti(root, KittiSplit(drives=("2011_09_30_drive_9999_sync",)), PriorNoise())
    with pytest.raises(ConfigError, match="test2"):
        KittiSplit("test3")
