# SPDX-License-Identifier: Apache-2.0
"""The executable: it ends with 0 within three seconds of a signal, in every state, without a traceback."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from cached_node import CACHE_BYTES, KEY, tile
from geometry_msgs.msg import PoseWithCovarianceStamped
from ros_world import ACTIVATE, CONFIGURE, DEACTIVATE, FAST_PARAMETERS, Tester, compressed_image
from sensor_msgs.msg import CompressedImage, NavSatFix

from geodistill_core.maps.cache import DiskCache

HERE = Path(__file__).parent
EXIT_LIMIT_S = 3.0
SLOW_MACHINE = 20  # a busy machine gets this many times what an empty Python takes on top


def fast_parameters():
    return [word for name, value in FAST_PARAMETERS.items() for word in ("-p", f"{name}:={value}")]


class Process:
    """A node in another process, its stderr, and a tester that shares its namespace."""

    def __init__(self, command, namespace, parameters=None, **environment):
        parameters = fast_parameters() if parameters is None else parameters
        paths = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "ros2_ws/src/geodistill_ros")]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--ros-args", "-r", f"__ns:={namespace}", *parameters],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"} | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pause = threading.Event()

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
@pytest.mark.parametrize("back", [(), (DEACTIVATE,)])
def test_n38_node_that_is_only_configured_exits_with_zero(start, tester, number, back):
    node = start()
    assert tester.change(CONFIGURE)
    for transition in (ACTIVATE, *back) if back else ():
        assert tester.change(transition)
    assert tester.state() == "inactive"
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


def until(path, node):
    """The file exists, made by a node that lives."""
    while not path.exists():
        assert node.process.poll() is None
        node.pause.wait(0.01)


def kept_tiles(folder):
    """How many tiles the cache holds; each must be the one that was written."""
    with DiskCache(folder, CACHE_BYTES) as cache:
        held = {number: cache.get("source", str(number)) for number in range(300)}
        assert all(found.content == tile(number) for number, found in held.items() if found)
        assert cache.stats().degraded is None
    return sum(found is not None for found in held.values())


def test_n39_killed_node_leaves_its_caches_whole_and_starts_again(start, tester, tmp_path):
    program = str(HERE / "cached_node.py")

    def run(build=""):
        tester.forget_publishers()
        return start(program, FAKE_CACHES=str(tmp_path), FAKE_BUILD=build)

    def kill(node):
        node.process.kill()
        node.process.wait(10)

    node = run("hang")
    assert tester.state() == "unconfigured"
    tester.ask_for(CONFIGURE)
    until(tmp_path / "engines" / KEY.purpose / "half", node)
    kill(node)
    node = run()
    tester.start()
    tester.good_frame_gets_a_pose()
    while kept_tiles(tmp_path / "tiles") < 20:
        node.pause.wait(0.1)
    kill(node)
    assert kept_tiles(tmp_path / "tiles") >= 20
    run("never")
    tester.start()
    tester.good_frame_gets_a_pose()


@pytest.mark.parametrize("name", ["localizer.yaml", "replay.yaml"])
def test_shipped_parameter_file_is_accepted(start, tester, name):
    file = HERE.parents[1] / "launch/geodistill_bringup/config" / name
    start("-m", "geodistill_ros.node", parameters=["--params-file", str(file)])
    assert not tester.change(CONFIGURE)
    assert tester.status()[1]["message"].startswith("configure refused: parameter 'map' is empty")


def test_n41_two_instances_with_remapped_names_do_not_hear_each_other(start, tester):
    start()
    names = {"image/compressed": "front/image", "fix": "/other_receiver/fix", "~/pose": "located"}
    remaps = [word for name, other in names.items() for word in ("-r", f"{name}:={other}")]
    start(namespace="/other", parameters=[*fast_parameters(), *remaps])
    with Tester("/other") as other:
        located = []
        other.collect(PoseWithCovarianceStamped, "located", located, 10)
        tester.start()
        other.start()
        tester.good_frame_gets_a_pose()
        assert located == [] and other.poses == []
        assert other.count("images.received") == other.count("gnss.accepted") == 0
        images = other.publisher(CompressedImage, "front/image")
        fixes = other.publisher(NavSatFix, "/other_receiver/fix")
        other._publishers["fix"] = fixes
        poses = len(tester.poses)
        other.prepare()
        other.insist(lambda: images.publish(compressed_image(other.now_ns())), lambda: located, "remapped pose")
        assert len(tester.poses) == poses and other.poses == []
        here = topics_of(other, "/other")
        assert {"/other/located", "/other/front/image", "/other_receiver/fix", "/other/geodistill/fix"} <= here
        shared = {"/diagnostics", "/rosout", "/parameter_events", "/tf", "/tf_static", "/clock"}
        assert topics_of(tester, "/process") & here <= shared


def topics_of(tester, namespace):
    """What the node in the namespace publishes and subscribes."""
    asked = tester.tester
    found = asked.get_publisher_names_and_types_by_node("geodistill", namespace)
    found += asked.get_subscriber_names_and_types_by_node("geodistill", namespace)
    return {name for name, _ in found}
