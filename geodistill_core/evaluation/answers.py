# SPDX-License-Identifier: Apache-2.0
"""What the node said, read back from the recording of a live replay, and merged into the drive it was said about."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.bags.images import decode_image
from geodistill_core.bags.source import BagSource, RawMessage, open_bag
from geodistill_core.bags.writer import BagWriter, typestore
from geodistill_core.errors import BagError
from geodistill_core.evaluation.metrics import PoseAnswer
from geodistill_core.evaluation.report.images import encode_jpeg
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array, GeoPoint

POSE_TOPIC = "/geodistill/pose"
DATUM_TOPIC = "/geodistill/datum"
OVERLAY_TOPIC = "/geodistill/overlay"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
# x, y and rotation about z in the 6x6 covariance of a ROS pose
PLANAR = np.ix_((0, 1, 5), (0, 1, 5))


@dataclass(frozen=True)
class Answers:
    """Poses and (encoded) overlay pictures by image stamp."""

    source: BagSource
    poses: dict[int, PoseAnswer]
    overlays: dict[int, RawMessage]

    def overlay_at(self, stamp_ns: int) -> Callable[[], Array] | None:
        """What decodes the overlay of an image (RGB), None where there is none."""
        raw = self.overlays.get(stamp_ns)
        return None if raw is None else lambda: decode_image(self.source.decode(raw))


def read_answers(path: Path) -> Answers:
    """The answers in a recording; raises BagError where it is damaged or has poses without a datum."""
    source = open_bag(path)
    answers = Answers(source, {}, {})
    frame: LocalFrame | None = None
    for raw in source.messages([topic for topic in (DATUM_TOPIC, POSE_TOPIC, OVERLAY_TOPIC) if topic in source.topics]):
        if raw.topic == OVERLAY_TOPIC:
            answers.overlays[raw.log_ns] = raw
            continue
        message = source.decode(raw)
        if raw.topic == DATUM_TOPIC:
            frame = LocalFrame(GeoPoint(message.latitude, message.longitude))
        elif frame is None:
            raise BagError(f"{path} holds a pose before any {DATUM_TOPIC}; its place on earth is unknown")
        else:
            answers.poses[_stamp_ns(message)] = _answer(message, frame)
    return answers


def _answer(message: Any, frame: LocalFrame) -> PoseAnswer:
    pose = message.pose.pose
    latitude, longitude = frame.to_geodetic(pose.position.x, pose.position.y)
    yaw_rad = 2.0 * math.atan2(pose.orientation.z, pose.orientation.w)
    covariance = np.asarray(message.pose.covariance, dtype=np.float64).reshape(6, 6)[PLANAR]
    # the status of an estimate is not part of a ROS pose
    return PoseAnswer(float(latitude), float(longitude), yaw_rad, covariance, status="")


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def merge_bags(drive: Path, results: Path, output: Path) -> Path:
    """Drive and answers in one recording, in order of time, overlay pictures as JPEG; returns `output`."""
    sources = [open_bag(drive), open_bag(results)]
    with BagWriter(output) as writer:
        for source in sources:
            for topic, facts in source.topics.items():
                msgtype = COMPRESSED if topic == OVERLAY_TOPIC else facts.msgtype
                writer.add_topic(_merged_name(topic), msgtype, latched=topic.endswith("/datum"))
        streams = [_merged(source) for source in sources]
        for log_ns, topic, cdr in heapq.merge(*streams, key=lambda entry: entry[0]):
            writer.write_cdr(topic, cdr, log_ns)
    return output


def _merged_name(topic: str) -> str:
    return f"{topic}/compressed" if topic == OVERLAY_TOPIC else topic


def _merged(source: BagSource) -> Iterator[tuple[int, str, bytes]]:
    for raw in source.messages(list(source.topics)):
        cdr = _as_jpeg(source, raw) if raw.topic == OVERLAY_TOPIC else raw.cdr
        yield raw.log_ns, _merged_name(raw.topic), cdr


def _as_jpeg(source: BagSource, raw: RawMessage) -> bytes:
    image = source.decode(raw)
    store = typestore()
    jpeg = np.frombuffer(encode_jpeg(decode_image(image), quality=85), np.uint8)
    message = store.types[COMPRESSED](header=image.header, format="jpeg", data=jpeg)
    return bytes(store.serialize_cdr(message, COMPRESSED))
