# SPDX-License-Identifier: Apache-2.0
"""What the node said, read back from the recording of a live replay, and merged into the drive it was said about."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geodistill_core.bags.messages import stamp_ns
from geodistill_core.bags.source import BagSource, RawMessage, open_bag
from geodistill_core.bags.writer import BagWriter
from geodistill_core.errors import BagError
from geodistill_core.evaluation.metrics import PoseAnswer
from geodistill_core.evaluation.result_bag import DATUM_TOPIC, LIKELIHOOD_TOPIC, OVERLAY_TOPIC, POSE_TOPIC
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import PLANAR, PlanarPose, geo_pose
from geodistill_core.types import Array, GeoPoint


@dataclass(frozen=True)
class Answers:
    """Poses and (encoded) overlay pictures by image stamp."""

    source: BagSource
    poses: dict[int, PoseAnswer]
    overlays: dict[int, RawMessage]

    def overlay_at(self, stamp_ns: int) -> Callable[[], Array] | None:
        """What decodes the overlay of an image (RGB), None where there is none."""
        raw = self.overlays.get(stamp_ns)
        return None if raw is None else lambda: _picture(self.source.decode(raw))


def _picture(message: Any) -> Array:
    """The RGB of a recorded overlay, which unlike a camera's image may well be of one colour."""
    bgr = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_COLOR)
    if bgr is None:
        raise BagError(f"a picture of {len(message.data)} bytes on {OVERLAY_TOPIC} is no JPEG; replay again")
    return np.ascontiguousarray(bgr[..., ::-1])


def read_answers(path: Path) -> Answers:
    """The answers in a recording; raises BagError where it is damaged or has poses without a datum."""
    source = open_bag(path)
    answers = Answers(source, {}, {})
    frame: LocalFrame | None = None
    for raw in source.messages(
        [topic for topic in (DATUM_TOPIC, POSE_TOPIC, LIKELIHOOD_TOPIC, OVERLAY_TOPIC) if topic in source.topics]
    ):
        if raw.topic == OVERLAY_TOPIC:
            answers.overlays[raw.log_ns] = raw
            continue
        message = source.decode(raw)
        if raw.topic == DATUM_TOPIC:
            frame = LocalFrame(GeoPoint(message.latitude, message.longitude))
        elif frame is None:
            raise BagError(f"{path} holds a pose before any {DATUM_TOPIC}; its place on earth is unknown")
        else:
            answers.poses[stamp_ns(message.header)] = _answer(message, frame)
    return answers


def _answer(message: Any, frame: LocalFrame) -> PoseAnswer:
    pose = message.pose.pose
    yaw_rad = 2.0 * math.atan2(pose.orientation.z, pose.orientation.w)
    covariance = np.asarray(message.pose.covariance, dtype=np.float64).reshape(6, 6)[PLANAR]
    place = geo_pose(PlanarPose(pose.position.x, pose.position.y, yaw_rad, covariance), frame)
    # the status of an estimate is not part of a ROS pose
    return PoseAnswer(place.latitude, place.longitude, place.yaw_enu_rad, place.covariance, status="")


def merge_bags(drive: Path, results: Path, output: Path) -> Path:
    """Drive and answers in one recording, in order of time; returns `output`."""
    sources = [open_bag(drive), open_bag(results)]
    with BagWriter(output) as writer:
        for source in sources:
            for topic, facts in source.topics.items():
                writer.add_topic(topic, facts.msgtype, latched=topic.endswith("/datum"))
        streams = [source.messages(list(source.topics)) for source in sources]
        for raw in heapq.merge(*streams, key=lambda message: message.log_ns):
            writer.write_cdr(raw.topic, raw.cdr, raw.log_ns)
    return output
