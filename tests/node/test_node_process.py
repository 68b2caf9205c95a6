# SPDX-License-Identifier: Apache-2.0
"""The executable: it ends with 0 within three seconds of a signal, in every state, without a traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from ros_world import CONFIGURE, FAST_PARAMETERS, Tester, compressed_image

HERE = Path(__file__).parent
EXIT_LIMIT_S = 3.0
SLOW_MACHINE = 20  # a busy machine gets this many times what an empty Python takes on top


class Process:
    """A node in another process, its stderr, and a tester that shares its namespace."""

    def __init__(self, command, namespace, parameters=None, **environment):
        if parameters is None:
            parameters = [word for name, value in FAST_PARAMETERS.items() for word in ("-p", f"{name}:={value}")]
        paths = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "ros2_ws/src/geodistill_ros")]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--ros-args", "-r", f"__ns:={namespace}", *parameters],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"} | environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, number):
        """Send the signal; returns exit code, seconds until exit and stderr."""
        started = time.monotonic()
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=120)
        return self.process.returncode, time.monotonic() - started, stderr

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def start():
    """Start nodes; whatever survives the test is killed."""
    running = []

    def make(*command, namespace="/process", **environment):
        running.append(Process(command or [str(HERE / "fake_node.py")], namespace, **environment))
        return running[-1]

    yield make
    for process in running:
        process.kill()


@pytest.fixture
def tester():
    with Tester("/process") as running:
        yield running


def assert_clean(result):
    code, seconds, stderr = result
    assert code == 0, stderr
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert seconds < EXIT_LIMIT_S + SLOW_MACHINE * (time.monotonic() - started)
    assert "Traceback" not in stderr, stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_n38_unconfigured_node_exits_with_zero(start, tester, number):
    node = start("-m", "geodistill_ros.node")
    assert tester.state() == "unconfigured"
    assert_clean(node.end(number))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_n38_active_node_that_works_exits_with_zero(start, tester, number):
    node = start()
    tester.start()
    tester.good_frame_gets_a_pose()
    assert_clean(node.end(number))


def test_n38_node_exits_while_a_model_loads(start, tester):
    node = start(FAKE_LOAD="hang")
    assert tester.state() == "unconfigured"
    tester.ask_for(CONFIGURE)
    tester.wait(
        lambda: tester.transitions and tester.transitions[-1].goal_state.label == "configuring",
        "the start of configure",
    )
    assert_clean(node.end(signal.SIGINT))


def test_n38_node_exits_while_an_inference_hangs(start, tester):
    node = start(FAKE_INFERENCE="hang")
    tester.start()
    tester.prepare()

    def working():
        tester.send(compressed_image(tester.now_ns()))  # a first one may be lost while the two sides match
        return tester.values().get("images.pending") == "1"

    tester.wait(working, "an image in the worker")
    assert_clean(node.end(signal.SIGINT))


def test_n38_repeated_signal_does_not_spoil_the_exit(start, tester):
    node = start()
    tester.start()
    node.process.send_signal(signal.SIGINT)
    assert_clean(node.end(signal.SIGINT))


def test_n38_signal_while_modules_load_ends_the_process_with_zero(start, tmp_path):
    (tmp_path / "rclpy.py").write_text(
        "import sys, threading\nprint('importing', file=sys.stderr, flush=True)\nthreading.Event().wait()\n"
    )
    node = start("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import geodistill_ros.node as n; n.main()")
    assert node.process.stderr.readline() == "importing\n"
    assert_clean(node.end(signal.SIGINT))


def test_killed_node_can_be_started_again(start, tester):
    first = start()
    tester.start()
    first.process.kill()
    first.process.wait(10)
    tester.forget_publishers()
    start()
    assert tester.state() == "unconfigured"
    tester.start()
    tester.good_frame_gets_a_pose()


@pytest.mark.parametrize("name", ["localizer.yaml", "replay.yaml"])
def test_shipped_parameter_file_is_accepted(start, tester, name):
    file = HERE.parents[1] / "launch/geodistill_bringup/config" / name
    start("-m", "geodistill_ros.node", parameters=["--params-file", str(file)])
    assert not tester.change(CONFIGURE)
    assert tester.status()[1]["message"].startswith("configure refused: parameter 'map' is empty")


def test_two_instances_do_not_hear_each_other(start, tester):
    start()
    start(namespace="/other")
    with Tester("/other") as other:
        tester.start()
        other.start()
        tester.good_frame_gets_a_pose()
        assert other.poses == []
        assert other.count("images.received") == 0
