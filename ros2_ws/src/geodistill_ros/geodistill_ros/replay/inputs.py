# SPDX-License-Identifier: Apache-2.0
"""A recorded drive as the node's parameters, remappings and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodistill_core.bags.reader import DriveReader
from geodistill_core.bags.topics import IMAGE_COMPRESSED, StreamKind
from geodistill_core.localization.sensor_buffer import HeadingSource
from geodistill_ros.mount import mount_parameters
from geodistill_ros.parameters import validated

# The node's input names by stream.
_INPUTS = {
    StreamKind.IMAGE: "image",
    StreamKind.CAMERA_INFO: "camera_info",
    StreamKind.FIX: "fix",
    StreamKind.ATTITUDE: "imu",
    StreamKind.MOTION: "odometry",
}
# Simulated time arrives in ticks on its own topic, so an image may be ahead of the node's clock.
_FUTURE_TOLERANCE_S = 1.0


def node_parameters(reader: DriveReader, map_path: Path, model: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters for a drive, `chosen` ones last; raises ConfigError for an illegal one, BagError for no mount."""
    kind = "pinhole" if reader.pinhole else "panorama"
    parameters = {
        "model": model,
        "map": str(map_path),
        "camera_kind": kind,
        "image_transport": "compressed" if _compressed(reader) else "raw",
        "heading_source": "imu" if reader.heading_source is HeadingSource.ATTITUDE else "course",
        "max_image_future_s": _FUTURE_TOLERANCE_S,
        "runtime": "torch",  # the same answers on every machine, from the first image on
        "publish_overlay": True,
        "publish_heatmap": True,
        **mount_parameters(reader.mount(), kind),
        **chosen,
    }
    validated(parameters)
    return parameters | {"use_sim_time": True}


def node_remappings(reader: DriveReader, topics: Mapping[StreamKind, str]) -> dict[str, str]:
    """The node's input names to the drive's topics."""
    names = {_INPUTS[kind]: topic for kind, topic in topics.items()}
    if _compressed(reader):
        names["image/compressed"] = names.pop("image")
    return names


def played_topics(reader: DriveReader, parameters: Mapping[str, Any]) -> dict[StreamKind, str]:
    """The drive's topics that the node listens to with these parameters."""
    deaf = set() if parameters["heading_source"] in ("imu", "course") else {StreamKind.ATTITUDE}
    if parameters["camera_kind"] == "panorama":
        deaf.add(StreamKind.CAMERA_INFO)
    return {kind: reader.topics[kind] for kind in _INPUTS if kind in reader.topics and kind not in deaf}


def _compressed(reader: DriveReader) -> bool:
    return bool(reader.source.topics[reader.topics[StreamKind.IMAGE]].msgtype == IMAGE_COMPRESSED)
