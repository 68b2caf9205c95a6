# SPDX-License-Identifier: Apache-2.0
"""The streams a drive consists of, their usual topics, and how they are found in somebody else's bag."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from geodistill_core.errors import BagError

IMAGE_RAW = "sensor_msgs/msg/Image"
IMAGE_COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
NAV_SAT_FIX = "sensor_msgs/msg/NavSatFix"
IMU = "sensor_msgs/msg/Imu"
ODOMETRY = "nav_msgs/msg/Odometry"
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"

TRUTH_PREFIX = "/ground_truth/"
TRUTH_FIX_TOPIC = "/ground_truth/fix"


class StreamKind(str, Enum):
    """What a topic is used for."""

    IMAGE = "image"
    CAMERA_INFO = "camera_info"
    FIX = "fix"
    ATTITUDE = "attitude"
    MOTION = "motion"
    TRUTH_POSE = "truth_pose"
    TRUTH_DATUM = "truth_datum"

    def __str__(self) -> str:
        return self.value


# Types a stream may have, and the topics it has by default, the preferred first.
TYPES: dict[StreamKind, tuple[str, ...]] = {
    StreamKind.IMAGE: (IMAGE_COMPRESSED, IMAGE_RAW),
    StreamKind.CAMERA_INFO: (CAMERA_INFO,),
    StreamKind.FIX: (NAV_SAT_FIX,),
    StreamKind.ATTITUDE: (IMU,),
    StreamKind.MOTION: (ODOMETRY,),
    StreamKind.TRUTH_POSE: (POSE_STAMPED,),
    StreamKind.TRUTH_DATUM: (NAV_SAT_FIX,),
}
DEFAULT_TOPICS: dict[StreamKind, tuple[str, ...]] = {
    StreamKind.IMAGE: ("/camera/image/compressed", "/camera/image_raw"),
    StreamKind.CAMERA_INFO: ("/camera/camera_info",),
    StreamKind.FIX: ("/gnss/fix",),
    StreamKind.ATTITUDE: ("/imu/data",),
    StreamKind.MOTION: ("/wheel/odometry",),
    StreamKind.TRUTH_POSE: (TRUTH_PREFIX + "pose",),
    StreamKind.TRUTH_DATUM: (TRUTH_PREFIX + "datum",),
}
_ONLY_BY_NAME = (StreamKind.TRUTH_POSE, StreamKind.TRUTH_DATUM)
_REQUIRED = (StreamKind.IMAGE, StreamKind.FIX)


def find_topics(
    found: Mapping[str, str], chosen: Mapping[StreamKind, str] | None = None
) -> tuple[dict[StreamKind, str], list[str]]:
    """Which topic serves which stream, for the streams that exist, and what is wrong.

    `found` maps a bag's topics to their types. A topic in `chosen` wins; then a default topic; then the only
    topic of a fitting type outside /ground_truth/. Problems: a chosen topic that is absent or of another type,
    a choice between several, no image, no fix.
    """
    resolved: dict[StreamKind, str] = {}
    problems: list[str] = []
    for kind in StreamKind:
        topic = (chosen or {}).get(kind)
        try:
            candidate = _find(kind, found) if topic is None else _checked(kind, topic, found)
        except BagError as error:
            problems.append(str(error))
            continue
        if candidate is not None:
            resolved[kind] = candidate
        elif kind in _REQUIRED:
            problems.append(
                f"no topic of type {' or '.join(TYPES[kind])} as {kind}; the bag holds {describe(found)}. "
                f"Record one, or name it in the topic mapping."
            )
    return resolved, problems


def resolve_topics(found: Mapping[str, str], chosen: Mapping[StreamKind, str] | None = None) -> dict[StreamKind, str]:
    """`find_topics`; raises BagError with the first problem."""
    resolved, problems = find_topics(found, chosen)
    if problems:
        raise BagError(problems[0])
    return resolved


def describe(found: Mapping[str, str]) -> str:
    """Topics and types in one line."""
    return ", ".join(f"{topic} ({found[topic]})" for topic in sorted(found)) or "no topics at all"


def _find(kind: StreamKind, found: Mapping[str, str]) -> str | None:
    for topic in DEFAULT_TOPICS[kind]:
        if found.get(topic) in TYPES[kind]:
            return topic
    if kind in _ONLY_BY_NAME:
        return None
    fitting = [t for t, name in found.items() if name in TYPES[kind] and not t.startswith(TRUTH_PREFIX)]
    if len(fitting) > 1:
        raise BagError(f"{len(fitting)} topics could be the {kind}: {', '.join(sorted(fitting))}; choose one")
    return fitting[0] if fitting else None


def _checked(kind: StreamKind, topic: str, found: Mapping[str, str]) -> str:
    if found.get(topic) not in TYPES[kind]:
        has = f"has type {found[topic]}" if topic in found else "does not exist"
        raise BagError(
            f"topic {topic} for the {kind} {has}; it must be {' or '.join(TYPES[kind])}. "
            f"The bag holds {describe(found)}."
        )
    return topic
