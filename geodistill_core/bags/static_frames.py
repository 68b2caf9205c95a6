# SPDX-License-Identifier: Apache-2.0
"""Where the camera sits, as /tf_static says."""

from __future__ import annotations

from typing import Any

import numpy as np

from geodistill_core.bags.messages import unit_quaternion
from geodistill_core.bags.source import BagSource
from geodistill_core.bags.topics import TF_MESSAGE, TF_STATIC_TOPIC
from geodistill_core.camera import R_BODY_OPTICAL
from geodistill_core.types import Array

BASE_FRAMES = ("base_footprint", "base_link")
"""Frames of the vehicle, the one that lies on the ground first."""
_UPRIGHT = 0.7


def static_mount(source: BagSource, image_topic: str, optical: bool) -> tuple[Array, str] | None:
    """`T_base_camera` (4x4) and how it was found; None where /tf_static does not lead from the base to the camera.

    The camera is the frame of the first image. A pinhole camera's axes are the optical ones (z forward), a panorama's
    body-like (x forward); a frame of the other convention, told by which axis points up, is turned.
    """
    info = source.topics.get(TF_STATIC_TOPIC)
    if info is None or info.msgtype != TF_MESSAGE:
        return None
    tree: dict[str, tuple[str, Array]] = {}
    for raw in source.messages([TF_STATIC_TOPIC]):
        for stamped in source.decode(raw).transforms:
            T = _matrix(stamped.transform)
            if T is not None:
                tree[_plain(stamped.child_frame_id)] = _plain(stamped.header.frame_id), T
    image = next(source.messages([image_topic]), None)
    if image is None:
        return None
    camera = _plain(source.decode(image).header.frame_id)
    camera_root, T_root_camera = _climbed(tree, camera)
    for base in BASE_FRAMES:
        base_root, T_root_base = _climbed(tree, base)
        if base_root == camera_root:
            T = np.linalg.inv(T_root_base) @ T_root_camera
            said = f"{TF_STATIC_TOPIC}: {base} to {camera}, {T[2, 3]:.2f} m high"
            upright = T[2, 2] > _UPRIGHT  # the frame's z points up: body-like
            if upright == optical:
                T[:3, :3] = T[:3, :3] @ (R_BODY_OPTICAL if optical else R_BODY_OPTICAL.T)
                said += f", turned from {'body-like' if optical else 'optical'} axes"
            return T, said
    return None


def _climbed(tree: dict[str, tuple[str, Array]], frame: str) -> tuple[str, Array]:
    """The root of a frame, and the transform to it; a circle of frames ends where it would close."""
    T, seen = np.eye(4), {frame}
    while frame in tree and tree[frame][0] not in seen:
        frame, T_parent = tree[frame]
        seen.add(frame)
        T = T_parent @ T
    return frame, T


def _plain(frame: str) -> str:
    return str(frame).lstrip("/")


def _matrix(transform: Any) -> Array | None:
    quaternion = unit_quaternion(transform.rotation)
    t = transform.translation
    if quaternion is None or not np.isfinite([t.x, t.y, t.z]).all():
        return None
    x, y, z, w = quaternion
    T = np.eye(4)
    T[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    T[:3, 3] = t.x, t.y, t.z
    return T
