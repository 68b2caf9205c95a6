# SPDX-License-Identifier: Apache-2.0
"""The demo and live replay around the node: answers read back, drops accounted for, drives reused, ROS missed."""

from __future__ import annotations

import inspect
import json
import math
import sys

import numpy as np
import pytest

from geodistill_core.bags import compose, synth
from geodistill_core.bags.images import decode_compressed
from geodistill_core.bags.reader import ReaderOptions, read_drive
from geodistill_core.bags.source import open_bag
from geodistill_core.bags.writer import BagWriter, typestore
from geodistill_core.datasets.synthcity import PANORAMA_RIG
from geodistill_core.errors import BagError, ConfigError
from geodistill_core.evaluation import demo, ros
from geodistill_core.evaluation.live import replay as live
from geodistill_core.evaluation.live.answers import DATUM_TOPIC, OVERLAY_TOPIC, POSE_TOPIC, merge_bags, read_answers
from geodistill_core.evaluation.metrics import frame_errors
from geodistill_core.evaluation.outcome import RunInfo
from geodistill_core.evaluation.replay import ReplayPlan
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint

POSE = "geometry_msgs/msg/PoseWithCovarianceStamped"
FIX = "sensor_msgs/msg/NavSatFix"
IMAGE = "sensor_msgs/msg/CompressedImage"
DATUM = GeoPoint(12.0, 34.0)
INFO = RunInfo("Drive", "untrained", "drive.mbtiles", 20_000)


def pose_message(stamp_ns, east_m, north_m, yaw_rad, covariance):
    types = typestore().types
    full = np.eye(6) * 50.0
    full[np.ix_((0, 1, 5), (0, 1, 5))] = covariance
    stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
    return types[POSE](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="map"),
        pose=types["geometry_msgs/msg/PoseWithCovariance"](
            pose=types["geometry_msgs/msg/Pose"](
                position=types["geometry_msgs/msg/Point"](east_m, north_m, 0.0),
                orientation=types["geometry_msgs/msg/Quaternion"](
                    0.0, 0.0, math.sin(yaw_rad / 2), math.cos(yaw_rad / 2)
                ),
            ),
            covariance=full.ravel(),
        ),
    )


def write_results(path, poses, datum=DATUM, overlays=()):
    """`poses`: (stamp, east, north, yaw, covariance) in the map frame at `datum`."""
    with BagWriter(path) as writer:
        for topic, kind in ((DATUM_TOPIC, FIX), (POSE_TOPIC, POSE), (OVERLAY_TOPIC, IMAGE)):
            writer.add_topic(topic, kind, latched=topic == DATUM_TOPIC)
        if datum is not None:
            writer.write(DATUM_TOPIC, compose.nav_sat_fix(1, datum, 1.0, "map"), 1)
        for stamp, *rest in poses:
            writer.write(POSE_TOPIC, pose_message(stamp, *rest), stamp)
        for stamp, rgb in overlays:
            writer.write(OVERLAY_TOPIC, compose.compressed_image(stamp, rgb), stamp)
    return path


def true_poses(reader, east_off_m=0.0):
    """The truth of every frame, displaced, in a map frame at DATUM's place near the drive."""
    frames = [f for f in reader.frames() if f.truth]
    datum = frames[0].truth.point
    local = LocalFrame(datum)
    poses = []
    for frame in frames:
        east, north = local.to_enu(frame.truth.latitude, frame.truth.longitude)
        poses.append((frame.stamp_ns, east + east_off_m, north, frame.truth.yaw_enu_rad, np.diag([0.25, 0.25, 1e-3])))
    return datum, poses


def account(reader, dropped, **latency):
    frames = [{"stamp_ns": f.stamp_ns, "latency_ms": latency.get("ms", 40.0)} for f in reader.frames()]
    return {"frames": frames, "dropped": dropped, "rate": 2.0}


def test_a_pose_comes_back_with_place_heading_and_covariance(tmp_path):
    covariance = np.array([[0.5, 0.1, 0.01], [0.1, 0.4, -0.02], [0.01, -0.02, 0.03]])
    path = write_results(tmp_path / "results.mcap", [(7_000_000_123, 30.0, -40.0, 2.5, covariance)])
    answer = read_answers(path).poses[7_000_000_123]
    east, north = LocalFrame(DATUM).to_enu(answer.latitude, answer.longitude)
    assert (east, north) == pytest.approx((30.0, -40.0), abs=1e-6)
    assert answer.yaw_enu_rad == pytest.approx(2.5)
    np.testing.assert_allclose(answer.covariance, covariance, atol=1e-6)


def test_poses_without_a_datum_have_no_place(tmp_path):
    path = write_results(tmp_path / "results.mcap", [(5, 0.0, 0.0, 0.0, np.eye(3))], datum=None)
    with pytest.raises(BagError, match="datum"):
        read_answers(path)


def test_answers_are_scored_against_the_truth_of_their_image(drive, tmp_path):
    reader = read_drive(drive.bag)
    datum, poses = true_poses(reader, east_off_m=0.75)
    results = write_results(tmp_path / "results.mcap", poses, datum)
    outcome = live.live_outcome(reader, INFO, results, account(reader, {}))
    summary = outcome.summary()
    assert summary["frames_localized"] == 8
    assert summary["position_error_m"]["median"] == pytest.approx(0.75, abs=1e-3)
    assert summary["latency_ms"]["p50"] == 40.0
    # eight frames over 3.5 seconds of drive, played at twice the speed
    assert summary["throughput_hz"] == pytest.approx(8 / 1.75)
    errors = [frame_errors(r.answer, r.truth) for r in outcome.results]
    assert max(abs(e.yaw_rad) for e in errors) < 1e-6


def test_every_unanswered_image_gets_a_reason_of_the_nodes_account(drive, tmp_path):
    reader = read_drive(drive.bag)
    datum, poses = true_poses(reader)
    results = write_results(tmp_path / "results.mcap", poses[:4], datum)
    outcome = live.live_outcome(reader, INFO, results, account(reader, {"superseded": 2, "transport": 1}))
    summary = outcome.summary()
    assert summary["dropped"] == {"superseded": 2, "transport": 1, live.UNACCOUNTED: 1}
    assert summary["frames"] == 8 == summary["frames_localized"] + sum(summary["dropped"].values())


def test_an_interrupted_replay_is_scored_on_what_was_played(drive, tmp_path):
    reader = read_drive(drive.bag)
    datum, poses = true_poses(reader)
    results = write_results(tmp_path / "results.mcap", poses[:3], datum)
    said = account(reader, {"superseded": 1})
    said |= {"frames": said["frames"][:4], "interrupted": True}
    summary = live.live_outcome(reader, INFO, results, said).summary()
    assert summary["frames"] == 4 and summary["frames_localized"] == 3 and summary["dropped"] == {"superseded": 1}
    assert summary["incomplete"] == "interrupted, after 4 of 8 frames"


def test_an_image_that_repeats_a_stamp_is_not_counted_as_answered_twice(drive, tmp_path, monkeypatch):
    reader = read_drive(drive.bag)
    frames = list(reader.frames())
    datum, poses = true_poses(reader)
    results = write_results(tmp_path / "results.mcap", poses, datum)
    said = account(reader, {"stamp_repeated": 1})
    monkeypatch.setattr(reader, "frames", lambda: iter([frames[0], *frames]))
    summary = live.live_outcome(reader, INFO, results, said).summary()
    assert summary["frames"] == 9 and summary["frames_localized"] == 8 and summary["dropped"] == {"stamp_repeated": 1}


def test_ctrl_c_during_a_live_replay_leaves_the_part_that_was_played(
    drive, checkpoint, tmp_path, monkeypatch, geodistill
):
    reader = read_drive(drive.bag)
    datum, poses = true_poses(reader)

    def stopped(command):
        write_results(tmp_path / "out" / "results.mcap", poses[:2], datum)
        said = account(reader, {})
        said |= {"frames": said["frames"][:2], "interrupted": True}
        live.Path(command[command.index("--json") + 1]).write_text(json.dumps(said))
        return live.INTERRUPTED

    monkeypatch.setattr(ros, "find_spec", lambda name: object())
    monkeypatch.setattr(live, "_run", stopped)
    ran = geodistill("replay", drive.bag, "--live", "--model", checkpoint, "-o", tmp_path / "out")
    assert ran.code == 130 and str(tmp_path / "out") in ran.err.replace("\n", "")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["frames"] == 2 and metrics["incomplete"].startswith("interrupted")
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_readers_own_reason_is_preferred_where_the_node_counted_it(drive):
    from collections import Counter

    from geodistill_core.bags.reader import DriveFrame

    frame = DriveFrame(1, None, None, None, "truncated")
    left = Counter({"blank": 1, "truncated": 1})
    assert live._reason(frame, left) == "truncated"
    assert live._reason(frame, left) == "blank"
    assert live._reason(frame, left) == live.UNACCOUNTED


def test_the_merged_recording_holds_drive_and_answers_in_order(drive, tmp_path):
    reader = read_drive(drive.bag)
    datum, poses = true_poses(reader)
    rgb = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    results = write_results(tmp_path / "results.mcap", poses, datum, [(poses[0][0], rgb)])
    merged = open_bag(merge_bags(drive.bag, results, tmp_path / "out" / "drive.mcap"))
    original = open_bag(drive.bag)
    assert {t: i.messages for t, i in merged.topics.items() if t in original.topics} == {
        t: i.messages for t, i in original.topics.items()
    }
    assert merged.topics[POSE_TOPIC].messages == 8
    messages = list(merged.messages(list(merged.topics)))
    assert [m.log_ns for m in messages] == sorted(m.log_ns for m in messages)
    (overlay,) = [m for m in messages if m.topic == OVERLAY_TOPIC]
    assert decode_compressed(merged.decode(overlay)).shape == (64, 64, 3)
    assert len(list(read_drive(tmp_path / "out" / "drive.mcap", _height()).frames())) == 8


def _height():
    return ReaderOptions(camera_height_m=2.0)


def test_without_ros_the_demo_names_what_to_install_and_what_to_run_instead(geodistill, monkeypatch, tmp_path):
    monkeypatch.setattr(ros, "find_spec", lambda name: None)
    ran = geodistill("demo", "-o", tmp_path)
    assert ran.code == 2
    assert "rclpy" in ran.err and 'pip install "geodistill[ros]"' in ran.err
    instead = ran.err.split("Without ROS: ")[1].strip()
    assert instead.startswith("geodistill bag synth") and f"geodistill replay {tmp_path}/source/drive.mcap" in instead
    assert list(tmp_path.iterdir()) == []


def test_the_command_the_demo_names_makes_the_same_drive(geodistill, tmp_path, monkeypatch):
    asked = []
    defaults = {name: p.default for name, p in inspect.signature(synth.write_synth_drive).parameters.items()}

    def record(path, style, seed, level, frames, *, frame_rate_hz, rig=PANORAMA_RIG, route=0, **other):
        decisive = {key: value for key, value in other.items() if key not in ("progress", "jobs")}
        chosen = {key: value for key, value in decisive.items() if value != defaults[key]}
        asked.append((style, seed, level, frames, frame_rate_hz, rig.kind, route, chosen))
        raise BagError("recorded")

    monkeypatch.setattr(demo, "write_synth_drive", record)
    monkeypatch.setattr(synth, "write_synth_drive", record)
    drive = demo.DemoDrive()
    geodistill(*drive.synth_command(tmp_path).split()[1:])
    with pytest.raises(BagError):
        drive.make(tmp_path / "drive.mcap", lambda: None)
    assert asked[0] == asked[1]


def test_live_replay_without_ros_names_the_offline_command(geodistill, monkeypatch, drive):
    monkeypatch.setattr(ros, "find_spec", lambda name: None)
    ran = geodistill("replay", drive.bag, "--live")
    assert ran.code == 2 and f"geodistill replay {drive.bag}" in ran.err


def test_only_what_is_absent_is_named(monkeypatch):
    monkeypatch.setattr(ros, "find_spec", lambda name: None if name == "nav_msgs" else object())
    with pytest.raises(ConfigError, match="needs nav_msgs, which"):
        ros.require_ros("geodistill replay")


def test_a_drive_is_used_again_only_while_it_is_untouched(drive, tmp_path):
    made = drive.manifest.synth
    same = demo.DemoDrive(made.style, made.seed, made.route, made.level, made.frames, made.frame_rate_hz)
    folder = tmp_path / "source"
    folder.mkdir()
    for file in (drive.bag, drive.map, drive.sidecar):
        (folder / file.name).write_bytes(file.read_bytes())
    bag = folder / "drive.mcap"
    other_rig = same.ready(bag)  # the fixture's camera is smaller than the demo's
    sidecar = json.loads((folder / "drive.json").read_text())
    sidecar["synth"]["rig"] = demo.PANORAMA_RIG.kind
    (folder / "drive.json").write_text(json.dumps(sidecar))
    assert (other_rig, same.ready(bag)) == (made.rig == demo.PANORAMA_RIG.kind, True)
    assert not demo.DemoDrive(made.style, made.seed + 1, made.route, made.level, made.frames, made.frame_rate_hz).ready(
        bag
    )
    (folder / "drive.mbtiles").write_bytes(b"changed")
    assert not same.ready(bag)
    (folder / "drive.json").write_text("{}")
    assert not same.ready(bag)


@pytest.mark.parametrize(("seconds", "low", "high"), [(0.001, 1.0, 1.0), (0.35, 0.51, 0.75), (30.0, 0.5, 0.5)])
def test_a_slow_machine_plays_the_drive_more_slowly(drive, monkeypatch, seconds, low, high):
    # two images a second: 0.35 s of work fills 0.4 of the time at somewhat over half the speed
    clock = iter(np.arange(0.0, 1e4) * seconds)
    monkeypatch.setattr(live, "locate_frame", lambda frame, localizer: None)
    monkeypatch.setattr(live.time, "perf_counter", lambda: float(next(clock)))
    assert low <= live.suitable_rate(read_drive(drive.bag), None) <= high


def test_a_replay_that_fails_hands_its_exit_code_on(monkeypatch, tmp_path):
    monkeypatch.setattr(live, "MODULE", "geodistill_core.no_such_module")
    options = live.LiveOptions(tmp_path / "a.mcap", tmp_path / "b.mbtiles", tmp_path / "results.mcap")
    with pytest.raises(live.LiveReplayError) as failed:
        live.play_live(options)
    assert failed.value.exit_code == 1


def test_how_certain_the_height_is_is_handed_on_to_the_node(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(live, "_run", lambda command: commands.append(command) or 1)
    for sigma_m in (0.25, 0.0):
        paths = (tmp_path / "a.mcap", tmp_path / "b.mbtiles", tmp_path / "results.mcap")
        plan = ReplayPlan(reader=ReaderOptions(sigma_height_m=sigma_m))
        with pytest.raises(live.LiveReplayError):
            live.play_live(live.LiveOptions(*paths, plan))
    uncertain, certain = commands
    assert "mount_sigma_z_m:=0.250000000000" in uncertain and "mount_sigma_z_m:=0.000000000000" in certain


def test_an_interrupt_is_handed_on_to_the_replay_once(tmp_path):
    program = (
        "import pathlib, signal, sys, time\n"
        "hits = []\n"
        "note = lambda: pathlib.Path(sys.argv[1]).write_text(str(len(hits)))\n"
        "signal.signal(signal.SIGINT, lambda *a: (hits.append(1), note()))\n"
        "note()\n"
        "while not hits: time.sleep(0.02)\n"
        "time.sleep(0.3)\n"
    )
    import os
    import signal
    import threading

    marker = tmp_path / "hits"

    def interrupt_once_ready():
        while not (marker.exists() and marker.read_text() == "0"):
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_once_ready).start()
    assert live._run([sys.executable, "-c", program, str(marker)]) == 130
    assert marker.read_text() == "1"
