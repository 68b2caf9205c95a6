# SPDX-License-Identifier: Apache-2.0
"""The node's tests: a real rclpy on an own domain, a fake engine for speed, waits for events and never for time."""

import os
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ros2_ws" / "src" / "geodistill_ros"
if str(PACKAGE) not in sys.path:
    sys.path.insert(0, str(PACKAGE))

from geodistill_ros.transport import with_image_transport  # noqa: E402

DOMAIN_ID = 20 + os.getpid() % 80  # 0..101 keep clear of ephemeral ports; one domain per test run

os.environ.update(
    with_image_transport(os.environ)
    | {"ROS_DOMAIN_ID": str(DOMAIN_ID), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
)


@pytest.fixture
def world():
    """A running node with a fake engine and a tester beside it; everything is torn down afterwards."""
    pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")
    from ros_world import World

    with World() as running:
        yield running
