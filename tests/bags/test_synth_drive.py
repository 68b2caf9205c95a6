# SPDX-License-Identifier: Apache-2.0
"""Simulated drives on disk: bag, map and sidecar agree with each other and with the simulation."""

import hashlib
import json
import math

import cv2
import numpy as np
import pytest
from pyproj import Geod
from rosbags.highlevel import AnyReader

from geodistill_core.bags.reader import read_drive
from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.datasets.synthcity import CameraRig, map_tile, pinhole_rig
from geodistill_core.datasets.synthcity.drive import Drive, simulate_drive
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import open_map
from geodistill_core.types import GeoPoint

GEOD = Geod(ellps="WGS84")
RIG = CameraRig("panorama", 256, 128)
CITY = ("suburb", 20_002, "standard")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_synth_drive(tmp_path_factory.mktemp("drive"), *CITY, 12, rig=RIG)


@pytest.fixture(scope="module")
def simulated():
    return simulate_drive(*CITY, 12, rig=RIG)


@pytest.fixture(scope="module")
def frames(made):
    return list(read_drive(made.bag).frames())


def apart_m(a, b):
    return GEOD.inv(a.longitude, a.latitude, b.longitude, b.latitude)[2]


def messages_of(path, topic):
    with AnyReader([path]) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        return [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages(wanted)]


def test_three_files_stand_beside_each_other(made):
    assert [path.name for path in (made.bag, made.map, made.sidecar)] == [
        "drive.mcap",
        "drive.mbtiles",
        "drive.json",
    ]
    assert sorted(path.name for path in made.bag.parent.iterdir()) == sorted(
        ["drive.mcap", "drive.mbtiles", "drive.json"]
    )


def test_every_frame_has_a_prior_truth_and_the_rendered_picture(frames, simulated):
    rendered = list(simulated.frames())
    assert [frame.stamp_ns for frame in frames] == [image.stamp_ns for image in rendered]
    for frame, image in zip(frames, rendered, strict=True):
        assert frame.dropped is None
        assert np.abs(frame.image.rgb.astype(int) - image.rgb).mean() < 4.0
        assert apart_m(frame.truth, image.truth) < 1e-4
        assert math.cos(frame.truth.yaw_enu_rad - image.truth.yaw_enu_rad) == pytest.approx(1.0)


def test_priors_err_as_the_receiver_and_the_compass_err(frames):
    errors = [apart_m(frame.frame_prior.prior, frame.truth) for frame in frames]
    assert np.median(errors) > 4.0 and max(errors) < 21.0
    for frame in frames:
        prior = frame.frame_prior.prior
        turned = (prior.yaw_enu_rad - frame.truth.yaw_enu_rad + math.pi) % (2 * math.pi) - math.pi
        assert abs(math.degrees(turned)) < 20.5
        assert math.degrees(prior.sigma_yaw_rad) == pytest.approx(10.0)
        assert 8.0 <= prior.sigma_m < 8.2


def test_dead_reckoning_keeps_the_error_of_the_fix(frames, simulated):
    """Carrying a fix to the image must not add more than the odometry's own error."""
    path = simulated.trajectory
    for frame in frames:
        fix_second = (frame.fix.stamp_ns - simulated.gnss.stamps_ns[0]) * 1e-9
        at_fix = simulated.truth(fix_second)
        before = np.array(offset_m(at_fix, frame.fix))
        after = np.array(offset_m(frame.truth, frame.frame_prior.prior))
        travelled = path.speed_mps.max() * frame.frame_prior.fix_age_s
        assert np.hypot(*(after - before)) < 0.02 + travelled * 0.45


def offset_m(origin, point):
    return LocalFrame(GeoPoint(origin.latitude, origin.longitude)).to_enu(point.latitude, point.longitude)


def test_measured_attitude_accompanies_each_picture(frames, simulated):
    for frame, second in zip(frames, simulated.frame_seconds, strict=True):
        pose = simulated.trajectory.pose(float(second), 2.0)
        error = np.degrees([frame.image.roll_rad - pose.roll_rad, frame.image.pitch_rad - pose.pitch_rad])
        assert np.abs(error).max() < 1.0


def test_fixes_in_the_bag_carry_the_stated_covariance_and_missing_ones_their_status(tmp_path):
    hard = write_synth_drive(tmp_path, "suburb", 20_003, "hard", 40, rig=CameraRig("panorama", 64, 32))
    available = simulate_drive("suburb", 20_003, "hard", 40, rig=CameraRig("panorama", 64, 32)).gnss.available
    fixes = messages_of(hard.bag, "/gnss/fix")
    assert [message.status.status == 0 for message in fixes] == available.tolist()
    for message in fixes:
        assert message.position_covariance[0] == message.position_covariance[4] == 81.0
        assert math.isnan(message.latitude) == (message.status.status == -1)


def test_truth_poses_and_truth_fixes_are_the_same_places(made):
    datum = messages_of(made.bag, "/ground_truth/datum")[0]
    frame = LocalFrame(GeoPoint(datum.latitude, datum.longitude))
    poses, fixes = messages_of(made.bag, "/ground_truth/pose"), messages_of(made.bag, "/ground_truth/fix")
    assert len(poses) == len(fixes) > 40
    for pose, fix in zip(poses, fixes, strict=True):
        east, north = frame.to_enu(fix.latitude, fix.longitude)
        assert (pose.pose.position.x, pose.pose.position.y) == pytest.approx((east, north), abs=1e-5)


def test_odometry_pose_is_the_sum_of_its_twists(made, simulated):
    odometry = messages_of(made.bag, "/wheel/odometry")
    start, end = odometry[0].pose.pose.position, odometry[-1].pose.pose.position
    path = simulated.trajectory
    true_way = math.hypot(path.east_m[-1] - path.east_m[0], path.north_m[-1] - path.north_m[0])
    assert (start.x, start.y) == (0.0, 0.0)
    assert math.hypot(end.x, end.y) == pytest.approx(true_way, rel=0.06)
    assert odometry[0].child_frame_id == "base_link"


def shift_m(a, b, metres_per_pixel):
    """How far two pictures of one place are displaced, by phase correlation."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (a, b)]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_64F)
    (x, y), _ = cv2.phaseCorrelate(grey[0], grey[1], window)
    return math.hypot(x, y) * metres_per_pixel


def test_the_map_shows_the_city_where_it_is(made, simulated):
    frame = LocalFrame(simulated.city.datum)
    with open_map(made.map) as source:
        for k in (0, len(simulated.trajectory.east_m) - 1):
            east, north = simulated.trajectory.east_m[k], simulated.trajectory.north_m[k]
            tile = source.tile(frame.point(east, north), 80.0, 0.25)
            direct = map_tile(simulated.city, east, north, 80.0, 0.25, simulated.map_conditions, simulated.level.change)
            assert shift_m(tile.rgb, direct.rgb, 0.25) < 0.1
        assert source.attribution == "SynthCity (procedural)"


def test_the_map_covers_sixty_metres_round_the_route(made, frames):
    with open_map(made.map) as source:
        assert 0.12 <= source.info().metres_per_pixel <= 0.25
        for frame in frames:
            assert source.tile(frame.frame_prior.prior.point, 80.0, 0.5).valid.all()


def test_the_sidecar_tells_how_to_make_the_drive_again(made, tmp_path):
    sidecar = json.loads(made.sidecar.read_text())
    for name, digest in sidecar["sha256"].items():
        assert hashlib.sha256((made.bag.parent / name).read_bytes()).hexdigest() == digest
    synth = sidecar["synth"]
    again = write_synth_drive(
        tmp_path / "again.mcap",
        synth["style"],
        synth["seed"],
        synth["level"],
        synth["frames"],
        frame_rate_hz=synth["frame_rate_hz"],
        route=synth["route"],
        size_m=synth["size_m"],
        rig=RIG,
    )
    assert again.bag.name == "again.mcap" and again.map.name == "again.mbtiles"
    assert again.bag.read_bytes() == made.bag.read_bytes()
    assert again.manifest.T_base_camera == made.manifest.T_base_camera


def test_a_pinhole_drive_carries_camera_info_and_mount(tmp_path):
    rig = pinhole_rig(160, 96)
    made = write_synth_drive(tmp_path, *CITY, 3, rig=rig)
    reader = read_drive(made.bag)
    frames = list(reader.frames())
    assert reader.pinhole and [frame.dropped for frame in frames] == [None] * 3
    camera = frames[0].image.camera
    np.testing.assert_allclose(camera.K, rig.camera.K)
    assert camera.distortion == rig.camera.distortion
    np.testing.assert_allclose(frames[0].image.T_base_camera, rig.mount)


def test_raw_images_are_written_without_loss(tmp_path, simulated):
    made = write_synth_drive(tmp_path, *CITY, 12, rig=RIG, raw_images=True)
    for frame, image in zip(read_drive(made.bag).frames(), simulated.frames(), strict=True):
        np.testing.assert_array_equal(frame.image.rgb, image.rgb)


def test_progress_counts_every_image_and_the_map(tmp_path):
    steps = []
    write_synth_drive(tmp_path, *CITY, 4, rig=RIG, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(k, 5) for k in range(1, 6)]


def test_a_stopped_drive_is_gone_on_with_and_is_then_the_same_whatever_the_number_of_threads(tmp_path, monkeypatch):
    drawn = []
    image = Drive.image
    monkeypatch.setattr(Drive, "image", lambda drive, index: drawn.append(index) or image(drive, index))

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    def write(folder, **options):
        return write_synth_drive(folder, *CITY, 6, rig=RIG, **options)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "stopped", progress=stop)
    before = len(drawn)
    assert 2 <= before < 6 and not list((tmp_path / "stopped").glob("drive.*"))
    stopped = write(tmp_path / "stopped", jobs=3)
    assert sorted(drawn) == list(range(6))
    whole = write(tmp_path / "whole")
    for name in ("bag", "map", "sidecar"):
        assert getattr(stopped, name).read_bytes() == getattr(whole, name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "stopped").iterdir()) == [
        "drive.json",
        "drive.mbtiles",
        "drive.mcap",
    ]


@pytest.mark.parametrize("raw_images", [False, True])
def test_pictures_of_another_stopped_drive_are_refused(tmp_path, raw_images):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synth_drive(tmp_path, *CITY, 4, rig=RIG, raw_images=raw_images, progress=stop)
    with pytest.raises(ConfigError, match=r"pictures of another drive.*remove it"):
        write_synth_drive(tmp_path, *CITY, 5, rig=RIG, raw_images=raw_images)
    with pytest.raises(ConfigError, match=r"pictures of another drive"):
        write_synth_drive(tmp_path, *CITY, 4, rig=RIG, raw_images=not raw_images)


def test_an_impossible_drive_leaves_nothing_behind(tmp_path):
    with pytest.raises(ConfigError, match="brutal"):
        write_synth_drive(tmp_path, "suburb", 1, "brutal", 4)
    assert list(tmp_path.iterdir()) == []
