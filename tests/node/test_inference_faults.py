# SPDX-License-Identifier: Apache-2.0
"""N24, N26 to N28, N31, N32, N34: networks and accelerators that fail, and answers that must not be believed."""

import math

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from fault_world import survives
from geodistill_ros.engine import Engine
from ros_world import FakeLocalizer, compressed_image, noise
from small_engine import WINDOW_M, SmallEngine

from geodistill_core.errors import MapError, NotFiniteError, RuntimeBackendError

OK, WARN, ERROR = 0, 1, 2


@pytest.fixture(scope="module")
def compressed(module_worlds):
    world = module_worlds()
    world.start()
    return world


@pytest.fixture
def small(worlds, monkeypatch):
    """A started node with a SmallEngine, which is `world.engine`."""

    def make(runtime="auto", **options):
        engine = SmallEngine(monkeypatch, runtime, **options)
        world = worlds(open_engine=engine.open)
        world.engine = engine
        world.start()
        return world

    return make


def frame(world):
    """Send a fix and a picture like no other; returns when the image is answered or dropped."""
    world.prepare()
    done = lambda: world.known("images.received") - world.known("images.pending")  # noqa: E731
    before = done()
    stamp_ns = world.now_ns()
    world.send(compressed_image(stamp_ns, noise(stamp_ns % 2**32, 512, 256)))
    world.wait(lambda: done() > before, "an image that is done")
    return world.status()[1]


def accelerate(world):
    """Frames until the compiled network runs."""
    status = frame(world)
    while status["values"]["runtime"] != "onnxruntime":
        status = frame(world)
    frame(world)
    assert world.engine.accelerated.matches > 0
    return world


def failing(error):
    def fail():
        raise error

    return fail


@pytest.mark.parametrize(
    ("counter", "error"),
    [
        ("dropped.no_map", MapError("no imagery around 48.1, 11.5; extend the map")),
        ("dropped.nonfinite", NotFiniteError("the network returned NaN")),
        ("dropped.inference", RuntimeBackendError("the engine failed")),
        ("dropped.inference", RuntimeError("CUDA kernel failed")),
        ("dropped.inference", ZeroDivisionError("division by zero")),
    ],
)
def test_n24_failing_localizer_costs_one_frame(compressed, counter, error):
    def fail(*_):
        compressed.localizer.before = lambda *_: None
        raise error

    def send():
        compressed.localizer.before = fail
        compressed.send(compressed_image(compressed.now_ns()))

    survives(compressed, counter, send)


def test_n24_five_failures_in_a_row_are_an_error_until_one_succeeds(compressed):
    def fail(*_):
        raise ZeroDivisionError("division by zero")

    compressed.localizer.before = fail
    before = compressed.counters().get("dropped.inference", 0)
    for i in range(5):
        compressed.prepare()
        compressed.send(compressed_image(compressed.now_ns()))
        compressed.wait_count("dropped.inference", before + 1 + i)
    healthy, status = compressed.status()
    assert not healthy and "5 times in a row" in status["message"]
    compressed.localizer.before = lambda *_: None
    compressed.good_frame_gets_a_pose()
    assert compressed.status()[0]


@pytest.mark.parametrize(("runtime", "level"), [("auto", OK), ("onnxruntime", WARN)])
def test_n24_back_end_that_fails_five_times_in_a_row_gives_way_to_torch(small, runtime, level):
    world = accelerate(small(runtime))
    world.engine.accelerated.before = failing(RuntimeError("engine stub"))
    poses = len(world.poses)
    for i in range(5):
        assert frame(world)["values"]["dropped.inference"] == str(i + 1)
    assert len(world.poses) == poses
    status = world.status()[1]
    assert status["level"] == ERROR and "5 times in a row" in status["message"]
    assert status["values"]["runtime"] == "torch" and status["values"]["runtime.given_up"] == "1"
    assert "engine stub" in status["values"]["runtime.not_onnxruntime"]
    status = frame(world)
    world.wait(lambda: len(world.poses) > poses, "a pose from torch")
    assert status["level"] == level, status["message"]
    assert status["values"]["dropped.inference"] == "5"


def test_n24_failures_that_do_not_follow_each_other_leave_the_back_end(small):
    world = accelerate(small())
    for _ in range(6):
        world.engine.accelerated.before = failing(RuntimeError("engine stub"))
        frame(world)
        world.engine.accelerated.before = lambda: None
        status = frame(world)
    assert status["values"]["dropped.inference"] == "6"
    assert status["values"]["runtime"] == "onnxruntime"


def test_n26_memory_that_runs_out_once_costs_no_frame(small):
    world = accelerate(small())
    poses = len(world.poses)

    def once():
        world.engine.accelerated.before = lambda: None
        raise torch.OutOfMemoryError("stub")

    world.engine.accelerated.before = once
    values = frame(world)["values"]
    world.wait(lambda: len(world.poses) == poses + 1, "the pose")
    assert values["runtime.out_of_memory"] == "1"
    assert values["runtime"] == "onnxruntime" and "dropped.inference" not in values


@pytest.mark.parametrize(
    ("key", "tries", "error"),
    [
        ("runtime.out_of_memory", 2, torch.OutOfMemoryError("CUDA out of memory")),
        ("runtime.out_of_memory", 2, MemoryError()),
        ("runtime.device_lost", 1, RuntimeError("CUDA error: device-side assert triggered")),
    ],
)
def test_n26_accelerator_without_memory_or_lost_gives_way_to_torch_within_the_frame(small, key, tries, error):
    world = accelerate(small())
    poses, matches = len(world.poses), world.engine.accelerated.matches
    world.engine.accelerated.before = failing(error)
    values = frame(world)["values"]
    world.wait(lambda: len(world.poses) == poses + 1, "the pose")
    assert world.engine.accelerated.matches == matches + tries
    assert values[key] == str(tries) and values["runtime.given_up"] == "1"
    assert values["runtime"] == "torch" and type(error).__name__ in values["runtime.not_onnxruntime"]
    assert "dropped.inference" not in values


def test_n26_torch_without_memory_is_an_error_that_ends_with_the_memory(small):
    world = small(compiles=False)
    world.engine.accelerated.before = failing(torch.OutOfMemoryError("stub"))
    for _ in range(5):
        status = frame(world)
    assert status["level"] == ERROR and "OutOfMemoryError" in status["message"]
    assert status["values"]["dropped.inference"] == "5" and world.poses == []
    world.engine.accelerated.before = lambda: None
    assert frame(world)["level"] == OK


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", [(0, 0, 3, 3), (...,)])
def test_n27_network_output_that_is_not_finite_is_dropped(small, bad, where):
    world = small(compiles=False)

    def spoil(logits):
        logits = logits.clone()
        logits[where] = bad
        return logits

    world.engine.accelerated.after = spoil
    values = frame(world)["values"]
    assert values["dropped.nonfinite"] == "1" and world.poses == []
    world.engine.accelerated.after = lambda logits: logits
    frame(world)
    world.wait(lambda: world.poses, "a pose")


def test_n28_map_without_a_valid_cell_is_dropped_and_says_so(small):
    world = small(compiles=False)
    world.engine.accelerated.after = lambda logits: torch.full_like(logits, -math.inf)
    values = frame(world)["values"]
    assert values["dropped.no_map"] == "1" and world.poses == []
    assert "no valid cell" in values["image.newest_drop"]
    world.engine.accelerated.after = lambda logits: logits
    frame(world)
    world.wait(lambda: world.poses, "a pose")


def test_n31_peak_at_the_edge_of_the_window_is_counted_and_published_with_the_window_as_its_sigma(small):
    world = small(compiles=False)

    def cornered(logits):
        logits = torch.zeros_like(logits)
        logits[..., 1, 1] = 1e6
        return logits

    world.engine.accelerated.after = cornered
    assert frame(world)["values"]["status.edge"] == "1"
    world.wait(lambda: world.poses, "the pose")
    P = np.array(world.poses[0].pose.covariance).reshape(6, 6)
    np.linalg.cholesky(P)
    assert min(P[0, 0], P[1, 1]) >= WINDOW_M**2 / 12


@pytest.mark.parametrize(
    "bad",
    [
        np.diag([1.0, -1.0, 0.1]),
        np.diag([1.0, math.nan, 0.1]),
        np.zeros((3, 3)),
        np.array([[1.0, 1.0 + 1e-12, 0.0], [1.0 + 1e-12, 1.0, 0.0], [0.0, 0.0, 0.1]]),
    ],
)
def test_n32_covariance_that_is_none_is_never_published(compressed, bad):
    good = compressed.localizer.covariance

    def send():
        compressed.localizer.covariance = bad
        compressed.send(compressed_image(compressed.now_ns()))
        compressed.wait_count("dropped.covariance", before + 1)
        compressed.localizer.covariance = good

    before = compressed.counters().get("dropped.covariance", 0)
    survives(compressed, "dropped.covariance", send)


@pytest.mark.parametrize("share", [1.0 - 1e-6, 1e-12])
def test_n32_covariance_that_is_hardly_one_arrives_positive_definite(compressed, share):
    good = compressed.localizer.covariance
    compressed.localizer.covariance = np.array([[1.0, share, 0.0], [share, 1.0, 0.0], [0.0, 0.0, 1e-9]])
    pose = compressed.good_frame_gets_a_pose()
    compressed.localizer.covariance = good
    P = np.array(pose.pose.covariance).reshape(6, 6)
    np.linalg.cholesky(P)
    assert (P == P.T).all()


def test_n34_model_without_calibration_runs_with_a_warning(worlds):
    localizer = FakeLocalizer()
    world = worlds(open_engine=lambda settings: Engine(localizer, lambda: None, False, {"model": settings.model}))
    world.start()
    world.good_frame_gets_a_pose()
    _, status = world.status()
    assert status["values"]["calibration"] == "none"
    assert status["level"] == WARN and "calibration" in status["message"]
