# SPDX-License-Identifier: Apache-2.0
"""Live replay: a recorded drive through the node in its own process; every image is accounted for."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros.live_replay import replay
from geodistill_ros.mount import ParameterMount, mount_parameters
from geodistill_ros.parameters import NodeParameters
from geodistill_ros.replay.control import NodeControlError, NodeStatus
from geodistill_ros.replay.session import ReplayOptions, live_replay
from geodistill_ros.replay.summary import summarize
from small_drive import START_NS, write_small_drive

from geodistill_core.bags.source import open_bag
from geodistill_core.camera import rotation
from geodistill_core.errors import BagError, ConfigError
from geodistill_core.types import forward_optical_mount

HERE = Path(__file__).parent
FAKE = (sys.executable, str(HERE / "fake_node.py"))
PATHS = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "ros2_ws/src/geodistill_ros")]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(PATHS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


# A busy machine may deliver the IMU late or an image old; neither is the subject here.
PATIENT = {"heading_source": "parameter", "max_image_age_s": 30.0}


def play(tmp_path, drive, step=lambda count: None, **options):
    places = {"map": tmp_path / "any.mbtiles", "results": tmp_path / "results.mcap"}
    defaults = {**places, "command": FAKE, "rate": 2.0, "parameters": PATIENT}
    return live_replay(ReplayOptions(drive, **(defaults | options)), step)


def busy(summary):
    """Images that a starved machine lost on the way or overtook; nothing else may be among the drops."""
    assert set(summary["dropped"]) <= {"transport", "superseded"}, summary["dropped"]
    return sum(summary["dropped"].values())


def test_every_image_is_answered_or_counted(tmp_path):
    drive = write_small_drive(tmp_path, images=6, broken={2, 4})
    summary = play(tmp_path, drive)
    assert summary["published"] == 6
    assert summary["dropped"].pop("truncated") == 2
    assert summary["answered"] == 4 - busy(summary)
    assert summary["unaccounted"] == 0
    assert summary["exit_code"] == 0
    stamps = [START_NS + 10**9 + i * 250_000_000 for i in range(6)]
    assert [frame["stamp_ns"] for frame in summary["frames"]] == stamps
    answered = [frame["latency_ms"] is not None for frame in summary["frames"]]
    assert not answered[2] and not answered[4] and sum(answered) == summary["answered"]
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["max"] < 5000
    json.dumps(summary, allow_nan=False)


def test_ctrl_c_stops_playing_and_accounts_for_what_was_played(tmp_path):
    sent = []

    def step(count):
        sent.append(count)
        if len(sent) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    drive = write_small_drive(tmp_path, images=8)
    summary = play(tmp_path, drive, step=step, rate=1.0)
    assert summary["interrupted"]
    assert summary["published"] == 2 and summary["unaccounted"] == 0
    assert summary["answered"] == 2 - busy(summary)
    assert open_bag(Path(summary["results"])).topics["/geodistill/pose"].messages == summary["answered"]
    assert summary["exit_code"] == 0


def test_results_hold_the_answers_with_the_images_stamps(tmp_path):
    summary = play(tmp_path, write_small_drive(tmp_path, images=3))
    results = open_bag(Path(summary["results"]))
    poses = [results.decode(m) for m in results.messages(["/geodistill/pose"])]
    answered = [f["stamp_ns"] for f in summary["frames"] if f["latency_ms"] is not None]
    assert [p.header.stamp.sec * 10**9 + p.header.stamp.nanosec for p in poses] == answered
    for pose in poses:
        np.linalg.cholesky(pose.pose.covariance.reshape(6, 6))
    assert results.topics["/geodistill/fix"].messages == len(answered)
    for picture in ("overlay", "heatmap"):
        topic = f"/geodistill/{picture}/compressed"
        assert results.topics[topic].messages == len(answered)
        for recorded in results.messages([topic]):
            assert cv2.imdecode(results.decode(recorded).data, cv2.IMREAD_COLOR).shape[2] == 3
    assert results.topics["/geodistill/datum"].messages == 1
    assert results.topics["/diagnostics"].messages >= 1


def test_drive_recorded_on_another_clock_is_played_on_the_header_clock(tmp_path):
    summary = play(tmp_path, write_small_drive(tmp_path, images=3, recorded_later_ns=3600 * 10**9))
    assert summary["clock_offset_s"] == 3600.0
    assert summary["answered"] == 3 - busy(summary)


def test_node_that_refuses_to_configure_says_why(tmp_path):
    drive = write_small_drive(tmp_path, images=1)
    real_node = (sys.executable, "-m", "geodistill_ros.node")
    with pytest.raises(NodeControlError, match=r"any\.mbtiles"):
        play(tmp_path, drive, command=real_node)
    assert not (tmp_path / "results.mcap").exists()


def test_node_that_dies_is_reported_with_its_last_words(tmp_path):
    drive = write_small_drive(tmp_path, images=1)
    with pytest.raises(NodeControlError, match="I give up"):
        play(tmp_path, drive, command=(sys.executable, "-c", "print('I give up')"))


def test_illegal_parameter_is_refused_before_anything_starts(tmp_path):
    drive = write_small_drive(tmp_path, images=1)
    with pytest.raises(ConfigError, match="max_image_age_s"):
        play(tmp_path, drive, parameters={"max_image_age_s": -1.0})


def test_drive_without_images_is_refused(tmp_path):
    with pytest.raises(BagError, match="image"):
        play(tmp_path, write_small_drive(tmp_path, images=0))


def test_command_ends_with_one_line_and_the_exit_code_of_the_error(tmp_path):
    write_small_drive(tmp_path, images=2)
    command = [sys.executable, "-m", "geodistill_ros.live_replay", "drive.mcap", "--map", "none.mbtiles"]
    failed = subprocess.run([*command, "-o", "r.mcap"], cwd=tmp_path, capture_output=True, text=True, timeout=150)
    assert failed.returncode == 4
    assert "none.mbtiles" in failed.stderr and "Traceback" not in failed.stderr
    refused = subprocess.run([*command, "-o", "r.mcap", "-p", "x"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2 and "NAME:=VALUE" in refused.stderr


@pytest.mark.parametrize(("answered", "code"), [(3, 0), (2, 3)])
def test_command_prints_json_and_exits_with_3_for_drops(tmp_path, monkeypatch, answered, code):
    drive = write_small_drive(tmp_path, images=3)
    seen = []

    def pretend(options, step):
        seen.append(options)
        return {"published": 3, "answered": answered, "dropped": {}, "interrupted": False}

    monkeypatch.setattr("geodistill_ros.replay.session.live_replay", pretend)
    app = typer.Typer()
    app.command()(replay)
    command = [str(drive), "--map", "m", "-o", "r.mcap", "-p", "output:=likelihood", "-p", "threads:=2", "--json", "-"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == code
    assert json.loads(result.stdout)["answered"] == answered
    assert seen[0].parameters == {"output": "likelihood", "threads": 2}


@pytest.mark.parametrize("kind", ["panorama", "pinhole"])
def test_mount_survives_the_way_through_the_parameters(kind):
    T = forward_optical_mount(1.6, 0.1) if kind == "pinhole" else np.eye(4)
    if kind == "panorama":
        T[:3, :3] = rotation(0.05, -0.1, 2.0)
        T[:3, 3] = 0.3, -0.2, 2.1
    settings = NodeParameters(camera_kind=kind, **mount_parameters(T, kind))
    assert ParameterMount(settings).lookup("any") == pytest.approx(T, abs=1e-12)


def test_account_counts_what_never_reached_the_node_as_transport():
    status = NodeStatus(0, "", {"images.received": "3", "dropped.stale": "1", "images.answered": "2"})
    published = [(10, 0.0), (20, 1.0), (30, 2.0), (40, 3.0)]
    summary = summarize(published, {10: 0.1, 30: 2.3}, status, [1.0])
    assert summary["dropped"] == {"stale": 1, "transport": 1}
    assert summary["unaccounted"] == 0
    assert summary["latency_ms"]["max"] == pytest.approx(300.0)
    assert math.isclose(summary["frames"][0]["latency_ms"], 100.0)
