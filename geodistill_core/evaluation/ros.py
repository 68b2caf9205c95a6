# SPDX-License-Identifier: Apache-2.0
"""Whether the ROS 2 node can run here; nothing of ROS is imported."""

from __future__ import annotations

from importlib.util import find_spec

from geodistill_core.errors import ConfigError

MESSAGES_AND_CLIENT = (
    "rclpy",
    "sensor_msgs",
    "geometry_msgs",
    "nav_msgs",
    "diagnostic_msgs",
    "std_srvs",
    "lifecycle_msgs",
)
NODE = "geodistill_ros"


def missing_ros(modules: tuple[str, ...] = (*MESSAGES_AND_CLIENT, NODE)) -> list[str]:
    """Which of these Python modules this environment lacks."""
    return [name for name in modules if find_spec(name) is None]


def require_ros(instead: str) -> None:
    """Raise ConfigError naming what is missing, how to install it, and the command to use `instead`."""
    missing = missing_ros()
    if missing:
        raise ConfigError(
            f"the ROS 2 node needs {', '.join(missing)}, which this Python lacks. Install with "
            f'`pip install "geodistill[ros]"` and `pip install ./ros2_ws/src/geodistill_ros`, or source an '
            f"installed ROS 2. Without ROS: {instead}"
        )
