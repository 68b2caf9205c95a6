# SPDX-License-Identifier: Apache-2.0
"""With ROS's own tools, where they are installed: build the workspace, launch it, localize a drive, end with 0."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros.replay.control import NodeControl
from geodistill_ros.replay.player import Player
from geodistill_ros.replay.session import prove_transport, ros_node, wait_for_inputs
from geometry_msgs.msg import PoseWithCovarianceStamped

from geodistill_core.bags.messages import stamp_ns
from geodistill_core.bags.reader import read_drive
from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.bags.topics import StreamKind
from geodistill_core.datasets.synthcity import SMALL_PANORAMA_RIG
from geodistill_core.evaluation.result_bag import datum_of
from geodistill_core.geometry.geodesy import LocalFrame

ROOT = Path(__file__).parents[2]
FRAMES = 6
STARTS_S, ENDS_S = 120.0, 60.0
DOMAIN_ID = 1 + os.getpid() % 19  # below those of the node's tests
INPUTS = (StreamKind.IMAGE, StreamKind.FIX, StreamKind.ATTITUDE, StreamKind.MOTION)

pytestmark = [
    pytest.mark.skipif(shutil.which("colcon") is None, reason="`colcon` is not installed (pip has it)"),
    pytest.mark.timeout(600),
]
needs_launch = pytest.mark.skipif(
    shutil.which("ros2") is None, reason="`ros2 launch` is not installed (no wheel has it)"
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The two packages as `colcon build` installs them."""
    folder = tmp_path_factory.mktemp("workspace")
    paths = [str(ROOT / "ros2_ws" / "src"), str(ROOT / "launch")]
    subprocess.run(["colcon", "--log-base", "log", "build", "--base-paths", *paths], cwd=folder, check=True)
    return folder / "install"


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return write_synth_drive(
        tmp_path_factory.mktemp("drive"), "midtown", 20_000, "easy", FRAMES,
        frame_rate_hz=1.0, rig=SMALL_PANORAMA_RIG, size_m=320.0,
    ).bag  # fmt: skip


def sourced(workspace, command):
    """A shell's command in the workspace; the shell becomes the command, so that signals reach it."""
    return ["bash", "-c", f"source {shlex.quote(str(workspace / 'setup.bash'))} && exec {shlex.join(command)}"]


def environment():
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {
        "ROS_DOMAIN_ID": str(DOMAIN_ID),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONPATH": path,
    }


def test_colcon_installs_what_launch_looks_up(workspace):
    for package in ("geodistill_ros", "geodistill_bringup"):
        share = workspace / package / "share"
        assert (share / "ament_index/resource_index/packages" / package).is_file()
        assert (share / package / "package.xml").is_file()
    shared = workspace / "geodistill_bringup/share/geodistill_bringup"
    source = ROOT / "launch/geodistill_bringup"
    for folder in ("launch", "config", "security", "rviz", "foxglove"):
        assert sorted(os.listdir(shared / folder)) == sorted(os.listdir(source / folder))
    assert os.access(workspace / "geodistill_ros/lib/geodistill_ros/localizer", os.X_OK)


class Launched:
    """`ros2 launch` of the workspace's files in a domain of its own; SIGINT ends it as Ctrl-C would."""

    def __init__(self, workspace, log, *arguments):
        self._log = log
        self._out = log.open("wb")
        self.process = subprocess.Popen(
            sourced(workspace, ["ros2", "launch", "geodistill_bringup", *arguments]),
            env=environment(), stdout=self._out, stderr=self._out, start_new_session=True,
        )  # fmt: skip

    def end(self):
        """The exit code after SIGINT, and all that was printed."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(ENDS_S)
        return code, self._log.read_text(errors="replace")

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._out.close()


@pytest.fixture
def launch(workspace, tmp_path):
    running = []

    def make(*arguments):
        running.append(Launched(workspace, tmp_path / "launch.log", *arguments))
        return running[-1]

    yield make
    for launched in running:
        launched.kill()


def errors_m(reader, poses):
    """Distances of poses from the truth of their images; both are metres at the same datum."""
    truth = {frame.stamp_ns: frame.truth for frame in reader.frames()}
    frame = LocalFrame(datum_of(reader))
    for stamped_ns, pose in poses.items():
        east_m, north_m = frame.to_enu(truth[stamped_ns].latitude, truth[stamped_ns].longitude)
        yield math.hypot(pose.position.x - east_m, pose.position.y - north_m)


@needs_launch
def test_launched_node_localizes_a_drive_and_ends_with_zero(launch, drive, monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    reader, poses = read_drive(drive), {}
    datum = datum_of(reader)
    launched = launch(
        "localization.launch.xml",
        f"map:={drive.with_suffix('.mbtiles')}",
        f"datum:={datum.latitude},{datum.longitude}",
        f"params_file:={ROOT / 'launch/geodistill_bringup/config/replay.yaml'}",
        "use_sim_time:=true",
    )
    with ros_node(DOMAIN_ID, "tester") as node:
        node.create_subscription(
            PoseWithCovarianceStamped, "geodistill/pose", lambda m: poses.update({stamp_ns(m.header): m.pose.pose}), 10
        )
        control = NodeControl(node, alive=lambda: launched.process.poll() is None)
        while control.state(STARTS_S) != "active":
            time.sleep(0.2)
        player = Player(node, reader.source, {kind: reader.topics[kind] for kind in INPUTS}, rate=0.5)
        wait_for_inputs(control, player.matched, len(INPUTS))
        prove_transport(control, player.prime)
        player.play(lambda: None)
        deadline_s = time.monotonic() + ENDS_S
        while len(poses) < FRAMES and time.monotonic() < deadline_s:
            time.sleep(0.1)
        status = control.status()
    assert len(poses) == FRAMES, (status.message, status.values)
    assert statistics.median(errors_m(reader, poses)) < 3.0
    code, printed = launched.end()
    assert code == 0, printed
    assert "Traceback" not in printed
