# SPDX-License-Identifier: Apache-2.0
"""What a replay leaves as a recording and as trajectories, read back with other people's readers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pyproj import Geod
from rosbags.highlevel import AnyReader

from geodistill_core.bags.reader import read_drive
from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.datasets.synthcity import SMALL_PANORAMA_RIG
from geodistill_core.evaluation.frame_table import read_frames
from geodistill_core.evaluation.live.answers import read_answers
from geodistill_core.evaluation.metrics import frame_errors
from geodistill_core.evaluation.replay import replay, run_info
from geodistill_core.evaluation.result_bag import ResultBag, datum_of
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import Localizer
from geodistill_core.localization.planar_pose import PlanarPose, geo_pose, planar_pose
from geodistill_core.models import build
from geodistill_core.models.checkpoint import save_checkpoint
from geodistill_core.types import GeoPoint

EVO = Path(sys.executable).with_name("evo_ape")
FRAMES = 6


class Run:
    """A replay with its folder."""

    def __init__(self, base):
        self.drive = write_synth_drive(
            base / "drive", "midtown", 20_000, "easy", FRAMES, frame_rate_hz=2.0, rig=SMALL_PANORAMA_RIG, size_m=320.0
        )
        torch.manual_seed(0)
        description = {
            "name": "untrained", "architecture": "tiny", "arguments": {"widths": (8, 8, 8, 8)}, "inputs": {},
            "metres_per_pixel": 0.25, "preprocessing": "none", "training": {}, "calibration": None, "licence": "MIT",
        }  # fmt: skip
        save_checkpoint(base / "untrained", build("tiny", widths=(8, 8, 8, 8)), description)
        localizer = Localizer.load(base / "untrained", self.drive.map)
        self.reader, self.folder = read_drive(self.drive.bag), base / "out"
        self.info = run_info(self.reader, localizer, self.drive.map, "offline")
        self.datum = datum_of(self.reader)
        with ResultBag(self.folder / "results.mcap", self.datum) as record:
            self.outcome = replay(self.reader, localizer, self.info, record=record)
        self.outcome.save(self.folder, localizer.source)
        self.estimates = {
            f.stamp_ns: localizer.locate(f.image, f.frame_prior.prior) for f in self.reader.frames() if f.image
        }

    def messages(self, topic):
        """(recording time, message) by another library's reader."""
        with AnyReader([self.folder / "results.mcap"]) as bag:
            wanted = [c for c in bag.connections if c.topic == topic]
            return [(time, bag.deserialize(raw, c.msgtype)) for c, time, raw in bag.messages(wanted)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("run"))


def test_every_answer_is_a_pose_in_the_map_frame_at_the_stamp_of_its_image(run):
    poses = run.messages("/geodistill/pose")
    assert [time for time, _ in poses] == sorted(run.estimates) and len(poses) == FRAMES
    for time, message in poses:
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == time
        assert message.header.frame_id == "map"
        estimate, position = run.estimates[time], message.pose.pose.position
        azimuth_deg, _, distance_m = Geod(ellps="WGS84").inv(
            run.datum.longitude, run.datum.latitude, estimate.longitude, estimate.latitude
        )
        bearing = math.radians(azimuth_deg)
        assert position.x == pytest.approx(distance_m * math.sin(bearing), abs=1e-3)
        assert position.y == pytest.approx(distance_m * math.cos(bearing), abs=1e-3)
        q = message.pose.pose.orientation
        assert math.remainder(2 * math.atan2(q.z, q.w) - estimate.yaw_enu_rad, 2 * math.pi) == pytest.approx(
            0, abs=1e-4
        )
        P = message.pose.covariance.reshape(6, 6)
        np.linalg.cholesky(P)
        np.testing.assert_allclose(P[np.ix_((0, 1, 5), (0, 1, 5))], estimate.covariance, rtol=1e-3, atol=1e-3)
        assert not P[2:5, [0, 1, 5]].any()


def test_truth_and_answers_share_one_map_frame_that_is_said_once_and_first(run):
    ((time, message),) = run.messages("/geodistill/datum")
    assert (message.latitude, message.longitude) == (run.datum.latitude, run.datum.longitude)
    assert time == min(run.estimates)
    with AnyReader([run.drive.bag]) as bag:
        connection = next(c for c in bag.connections if c.topic == "/ground_truth/datum")
        _, _, raw = next(bag.messages([connection]))
        truth = bag.deserialize(raw, connection.msgtype)
    assert (truth.latitude, truth.longitude) == (message.latitude, message.longitude)
    with AnyReader([run.folder / "results.mcap"]) as bag:
        qos = next(c for c in bag.connections if c.topic == "/geodistill/datum").ext.offered_qos_profiles
    assert [profile.durability.name for profile in qos] == ["TRANSIENT_LOCAL"]


def test_without_a_truth_the_map_frame_starts_at_the_first_fix(run, tmp_path):
    frame = next(f for f in run.reader.frames() if f.image)
    with ResultBag(tmp_path / "results.mcap") as record:
        record.add(frame, run.estimates[frame.stamp_ns])
    with AnyReader([tmp_path / "results.mcap"]) as bag:
        connection = next(c for c in bag.connections if c.topic == "/geodistill/datum")
        message = bag.deserialize(next(bag.messages([connection]))[2], connection.msgtype)
    assert (message.latitude, message.longitude) == (frame.fix.latitude, frame.fix.longitude)


def test_the_fix_of_an_answer_is_its_position_with_the_full_covariance(run):
    for time, message in run.messages("/geodistill/fix"):
        estimate = run.estimates[time]
        assert (message.latitude, message.longitude) == (estimate.latitude, estimate.longitude)
        assert message.position_covariance_type == 3
        np.testing.assert_array_equal(message.position_covariance.reshape(3, 3)[:2, :2], estimate.covariance[:2, :2])


def test_heat_map_and_overlay_are_small_jpegs_that_show_the_answer(run):
    for topic, size in (("/geodistill/heatmap/compressed", 96), ("/geodistill/overlay/compressed", 256)):
        pictures = run.messages(topic)
        assert [time for time, _ in pictures] == sorted(run.estimates)
        for time, message in pictures:
            assert message.format.endswith("jpeg compressed bgr8") and len(message.data) < 40_000
            shown = cv2.imdecode(message.data, cv2.IMREAD_COLOR)
            assert shown.shape == (size, size, 3)
            if size == 96:
                peak = np.unravel_index(run.estimates[time].heatmap.position().argmax(), (96, 96))
                brightness = shown.astype(float).sum(axis=2)
                assert brightness[peak] >= 0.9 * brightness.max()


def test_answers_read_back_are_the_answers_given(run):
    answers = read_answers(run.folder / "results.mcap")
    for result in run.outcome.results:
        read, given = answers.poses[result.stamp_ns], result.answer
        east_m, north_m = LocalFrame(GeoPoint(given.latitude, given.longitude)).to_enu(read.latitude, read.longitude)
        assert math.hypot(east_m, north_m) < 1e-4
        assert math.remainder(read.yaw_enu_rad - given.yaw_enu_rad, 2 * math.pi) == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_allclose(read.covariance, given.covariance, atol=1e-9)
        assert answers.overlay_at(result.stamp_ns)().shape == (256, 256, 3)


@pytest.mark.parametrize("latitude", [-75.0, 0.0, 48.0])
def test_a_pose_far_from_the_datum_comes_back_as_it_was(latitude):
    datum = LocalFrame(GeoPoint(latitude, 179.9))
    pose = geo_pose(PlanarPose(30_000.0, -20_000.0, 2.0, np.diag([4.0, 1.0, 0.1])), datum)
    again = planar_pose(pose, datum)
    assert (again.east_m, again.north_m) == pytest.approx((30_000.0, -20_000.0), abs=1e-4)
    assert math.remainder(again.yaw_rad - 2.0, 2 * math.pi) == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(again.covariance, np.diag([4.0, 1.0, 0.1]), atol=1e-9)


def test_run_json_names_what_was_run_and_hashes_it(run):
    said = json.loads((run.folder / "run.json").read_text())
    hashes = {
        name: subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
        for name, path in (("bag", run.drive.bag), ("map", run.drive.map))
    }
    assert {name: said["hashes"][name] for name in hashes} == hashes
    assert (said["model"], said["map"], said["seed"]) == ("untrained", "drive.mbtiles", 20_000)
    assert said["configuration"]["drive"] == "drive.mcap"
    assert said["configuration"]["image topic"] == "/camera/image/compressed"
    assert said["recording"]["streams"]["image"]["messages"] == FRAMES
    assert len(said["fingerprint"]) == 12 and len(said["hashes"]["model"]) == 64


def test_frames_csv_holds_every_frame_with_what_is_known_of_it(run):
    rows = read_frames(run.folder / "frames.csv")
    assert [row.stamp_ns for row in rows] == [result.stamp_ns for result in run.outcome.results]
    for row, result in zip(rows, run.outcome.results, strict=True):
        assert row.answer.latitude == result.answer.latitude
        assert row.confidence == run.estimates[row.stamp_ns].modes[0].mass
        assert 0.0 <= row.speed_mps < 25.0


def test_the_speed_is_the_odometrys_and_without_it_that_of_the_truth(run):
    from geodistill_core.bags.topics import StreamKind
    from geodistill_core.evaluation.outcome import Outcome

    reader = read_drive(run.drive.bag)
    reader.topics = {kind: topic for kind, topic in reader.topics.items() if kind is not StreamKind.MOTION}
    without = Outcome(run.info)
    for frame in reader.frames():
        without.add(frame, "no_map")
    speeds = [result.speed_mps for result in without.results]
    assert speeds[0] is None
    odometry = [result.speed_mps for result in run.outcome.results]
    assert speeds[2:] == pytest.approx(odometry[2:], abs=1.5)


@pytest.mark.skipif(not EVO.exists(), reason="evo is not installed (pip install evo)")
def test_evo_finds_the_errors_that_the_metrics_state(run, tmp_path):
    truth, estimate = (run.folder / f"{name}.tum" for name in ("truth", "estimate"))
    errors = [frame_errors(r.answer, r.truth) for r in run.outcome.results]
    expected = {
        "trans_part": [e.position_m for e in errors],
        "angle_deg": [abs(math.degrees(e.yaw_rad)) for e in errors],
    }
    for relation, values in expected.items():
        out = tmp_path / f"{relation}.zip"
        command = [EVO, "tum", truth, estimate, "-r", relation, "--save_results", out]
        environment = {**os.environ, "HOME": str(tmp_path), "MPLBACKEND": "Agg"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        with zipfile.ZipFile(out) as archive, archive.open("error_array.npy") as array:
            found = np.load(array)
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=2e-4)


def test_the_answers_frame_lies_where_the_answer_is(run):
    frames = {time: message.transforms for time, message in run.messages("/tf")}
    for time, message in run.messages("/geodistill/pose"):
        (moved,), pose = frames[time], message.pose.pose
        assert (moved.header.frame_id, moved.child_frame_id) == (message.header.frame_id, "geodistill")
        assert moved.header.stamp == message.header.stamp
        place, turned = moved.transform.translation, moved.transform.rotation
        assert (place.x, place.y, place.z) == (pose.position.x, pose.position.y, 0.0)
        same = turned.z * pose.orientation.z + turned.w * pose.orientation.w
        assert abs(same) == pytest.approx(1.0, abs=1e-12) and turned.x == turned.y == 0.0


def test_ros2_bag_and_foxglove_find_the_schemas_and_the_index(run):
    from mcap.reader import make_reader

    with (run.folder / "results.mcap").open("rb") as stream:
        summary = make_reader(stream, validate_crcs=True).get_summary()
        assert sum(1 for _ in make_reader(stream, validate_crcs=True).iter_messages()) == 5 * FRAMES + 1
    assert {c.topic for c in summary.channels.values()} == {
        "/geodistill/pose", "/geodistill/fix", "/geodistill/datum",
        "/geodistill/heatmap/compressed", "/geodistill/overlay/compressed", "/tf",
    }  # fmt: skip
    assert all(schema.encoding == "ros2msg" and schema.data for schema in summary.schemas.values())
    assert summary.chunk_indexes
