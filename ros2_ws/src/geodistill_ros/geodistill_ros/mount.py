# SPDX-License-Identifier: Apache-2.0
"""Where the camera sits on the vehicle: from the mount_* parameters, or from TF with tf2_ros."""

from __future__ import annotations

import importlib
import math
from typing import Any, Protocol

import numpy as np

from geodistill_core.camera import BodyMount
from geodistill_core.errors import ConfigError
from geodistill_core.types import Array
from geodistill_ros.parameters import NodeParameters


class MountUnavailableError(Exception):
    """The transform is not known (yet): the frame must be dropped, never placed at identity."""


class Mount(Protocol):
    """Source of `T_base_camera`."""

    def lookup(self, camera_frame: str) -> Array:
        """`T_base_camera` (4x4) of the sensor whose images carry `camera_frame`."""

    def close(self) -> None:
        """Release subscriptions."""


def mount_parameters(T_base_camera: Array, camera_kind: str) -> dict[str, float]:
    """The mount_* parameters that make `T_base_camera`: the inverse of `ParameterMount`."""
    mount = BodyMount.of(T_base_camera, optical=camera_kind == "pinhole")
    return {
        "mount_x_m": mount.x_m,
        "mount_y_m": mount.y_m,
        "mount_z_m": mount.z_m,
        "mount_roll_deg": math.degrees(mount.roll_rad),
        "mount_pitch_deg": math.degrees(mount.pitch_rad),
        "mount_yaw_deg": math.degrees(mount.yaw_rad),
    }


class ParameterMount:
    """The mount of the parameters; a pinhole's optical rotation is added here."""

    def __init__(self, settings: NodeParameters) -> None:
        mount = BodyMount(
            settings.mount_x_m,
            settings.mount_y_m,
            settings.mount_z_m,
            math.radians(settings.mount_roll_deg),
            math.radians(settings.mount_pitch_deg),
            math.radians(settings.mount_yaw_deg),
        )
        self._T_base_camera = mount.matrix(optical=settings.camera_kind == "pinhole")

    def lookup(self, camera_frame: str) -> Array:
        """The same mount for every frame."""
        return self._T_base_camera

    def close(self) -> None:
        """Nothing to release."""


class TfMount:
    """The newest transform base <- camera of a TF tree; a camera mount is static."""

    def __init__(self, node: Any, base_frame: str) -> None:
        try:
            tf2_ros = importlib.import_module("tf2_ros")
        except ImportError:
            raise ConfigError(
                "mount_source 'tf' needs tf2_ros, which is not installed; "
                "install ros-$ROS_DISTRO-tf2-ros or set mount_source to 'parameters'"
            ) from None
        self._base_frame = base_frame
        self._newest = importlib.import_module("rclpy.time").Time()
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._error: type[Exception] = tf2_ros.TransformException

    def lookup(self, camera_frame: str) -> Array:
        """The transform by frame name; raises MountUnavailableError naming both frames."""
        try:
            stamped = self._buffer.lookup_transform(self._base_frame, camera_frame, self._newest)
        except self._error as error:
            raise MountUnavailableError(f"no transform {self._base_frame} <- {camera_frame!r}: {error}") from error
        return _matrix(stamped.transform)

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()


def open_mount(settings: NodeParameters, node: Any) -> Mount:
    """The mount that `mount_source` asks for; raises ConfigError where tf2_ros is missing."""
    return TfMount(node, settings.base_frame) if settings.mount_source == "tf" else ParameterMount(settings)


def _matrix(transform: Any) -> Array:
    q, t = transform.rotation, transform.translation
    x, y, z, w = np.array([q.x, q.y, q.z, q.w]) / math.hypot(q.x, q.y, q.z, q.w)
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = t.x, t.y, t.z
    return T
