# SPDX-License-Identifier: Apache-2.0
"""What a container asks: 0 from a node that answers, 1 from one in ERROR or from none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed (pip install 'geodistill[ros]')")

from geodistill_ros.health_check import health_of
from ros_world import CONFIGURE

from geodistill_core.errors import MapError

PACKAGE = Path(__file__).parents[2] / "ros2_ws/src/geodistill_ros"


def asked(name):
    """Exit code and sentence of the command, as a container runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "geodistill_ros.health_check", name],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_configured_node_is_healthy_and_its_sentence_is_shown(world):
    assert world.change(CONFIGURE)
    assert asked(f"{world.namespace}/geodistill") == (0, "node is inactive; no poses until it is active\n")


def test_node_that_waits_to_be_configured_is_healthy(world):
    code, sentence = asked(f"{world.namespace}/geodistill")
    assert (code, "unconfigured" in sentence) == (0, True)


def test_node_that_refused_to_configure_is_not(world):
    world.engine_error = MapError("no such map")
    assert not world.change(CONFIGURE)
    code, sentence = asked(f"{world.namespace}/geodistill")
    assert (code, "no such map" in sentence) == (1, True)


def test_silence_is_unhealthy_and_says_what_to_look_at():
    healthy, sentence = health_of("/nobody/geodistill", timeout_s=0.5)
    assert not healthy and "/nobody/geodistill does not answer within 0.5 s" in sentence


def test_asking_loads_nothing_of_the_library():
    program = (
        "import sys, geodistill_ros.health_check\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'geodistill_core')))"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
