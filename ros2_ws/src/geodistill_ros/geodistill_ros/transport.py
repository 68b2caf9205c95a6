# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile that lets camera images through, and the environment variable that selects it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROFILE = Path(__file__).resolve().parent / "config" / "fastdds.xml"
FAST_DDS_2, FAST_DDS_3 = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_JAZZY_RCLPY = 7


def profile_variable() -> str:
    """The variable that this ROS's Fast DDS reads: 2.x (up to Jazzy) knows one, 3.x warns about it."""
    try:
        major = int(version("rclpy").split(".")[0])
    except PackageNotFoundError:
        return FAST_DDS_3
    return FAST_DDS_2 if major <= _JAZZY_RCLPY else FAST_DDS_3


def with_image_transport(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with our profile, unless the user has chosen one."""
    if environment.get(FAST_DDS_2) or environment.get(FAST_DDS_3):
        return dict(environment)
    return {**environment, profile_variable(): str(PROFILE)}
