# SPDX-License-Identifier: Apache-2.0
"""The node's tests: a real rclpy on an own domain, a fake engine for speed, waits for events."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ros2_ws" / "src" / "geodistill_ros"
if str(PACKAGE) not in sys.path:
    sys.path.insert(0, str(PACKAGE))

from geodistill_ros.transport import with_image_transport  # noqa: E402

DOMAIN_ID = 20 + os.getpid() % 80  # 0..101 keep clear of ephemeral ports; one domain per test run

os.environ.update(
    with_image_transport(os.environ) | {"ROS_DOMAIN_ID": str(DOMAIN_ID), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
)


def make_worlds():
    pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")
    from ros_world import World

    with ExitStack() as stack:
        yield lambda **parameters: stack.enter_context(World(**parameters))


@pytest.fixture
def worlds():
    """Make running nodes with a fake engine and a tester beside each; all are torn down with the test."""
    yield from make_worlds()


@pytest.fixture(scope="module")
def module_worlds():
    """The same, torn down with the module."""
    yield from make_worlds()


@pytest.fixture
def world(worlds):
    """One fresh node, unconfigured."""
    return worlds()


@pytest.fixture
def drives():
    """Make vehicles that drive on a simulated clock past a node with the tracked output."""
    pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")
    from tracked_world import DrivenWorld

    with ExitStack() as stack:
        yield lambda **parameters: stack.enter_context(DrivenWorld(**parameters))


@pytest.fixture
def drive(drives):
    """A vehicle whose track is there."""
    world = drives()
    world.acquire()
    return world


@pytest.fixture(scope="session")
def tf2_messages(tmp_path_factory):
    """`tf2_msgs.msg` can be imported."""
    pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")
    from tf2_messages import have_tf2_messages

    have_tf2_messages(tmp_path_factory.mktemp("tf2_msgs"))
