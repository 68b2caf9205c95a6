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
POSE_WITH_COVARIANCE = "geometry_msgs/msg/PoseWithCovarianceStamped"

TF_MESSAGE = "tf2_msgs/msg/TFMessage"

TF_STATIC_TOPIC = "/tf_static"
COMPRESSED_SUFFIX = "/compressed"
TRUTH_PREFIX = "/ground_truth/"
TRUTH_FIX_TOPIC = "/ground_truth/fix"
UNUSED = "none"
"""Chosen in place of a topic: the stream is not used."""


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
    StreamKind.TRUTH_POSE: (POSE_STAMPED, POSE_WITH_COVARIANCE, ODOMETRY, NAV_SAT_FIX),
    StreamKind.TRUTH_DATUM: (NAV_SAT_FIX,),
}
DEFAULT_TOPICS: dict[StreamKind, tuple[str, ...]] = {
    StreamKind.IMAGE: ("/camera/image/compressed", "/camera/image_raw"),
    StreamKind.CAMERA_INFO: ("/camera/camera_info",),
    StreamKind.FIX: ("/gnss/fix",),
    StreamKind.ATTITUDE: ("/imu/data",),
    StreamKind.MOTION: ("/wheel/odometry",),
    StreamKind.TRUTH_POSE: (TRUTH_PREFIX + "pose", TRUTH_PREFIX + "odometry", TRUTH_FIX_TOPIC),
    StreamKind.TRUTH_DATUM: (TRUTH_PREFIX + "datum",),
}
_ONLY_BY_NAME = (StreamKind.TRUTH_POSE, StreamKind.TRUTH_DATUM)
_REQUIRED = (StreamKind.IMAGE, StreamKind.FIX)


class TopicError(BagError):
    """Which topic serves a stream was not said, or said wrongly: the command must be changed, not the bag."""

    exit_code = 2


def find_topics(
    found: Mapping[str, str], chosen: Mapping[StreamKind, str] | None = None
) -> tuple[dict[StreamKind, str], list[str]]:
    """Which topic serves which stream, for the streams that exist, and what is wrong.

    `found` maps a bag's topics to their types. A topic in `chosen` wins; then a default topic; then the only
    topic of a fitting type outside /ground_truth/, where an image and its compressed twin count as one. A CameraInfo
    belongs to the image beside it. Problems: a chosen topic that is absent or of another type, a choice between
    several, no image, no fix.
    """
    resolved, problems = _resolve(found, chosen or {})
    return resolved, [str(problem) for problem in problems]


def resolve_topics(found: Mapping[str, str], chosen: Mapping[StreamKind, str] | None = None) -> dict[StreamKind, str]:
    """`find_topics`; raises TopicError or BagError with the problems."""
    resolved, problems = _resolve(found, chosen or {})
    if problems:
        raise type(problems[0])(". ".join(str(problem).rstrip(".") for problem in problems))
    return resolved


def describe(found: Mapping[str, str]) -> str:
    """Topics and types in one line."""
    return ", ".join(f"{topic} ({found[topic]})" for topic in sorted(found)) or "no topics at all"


def _resolve(
    found: Mapping[str, str], chosen: Mapping[StreamKind, str]
) -> tuple[dict[StreamKind, str], list[BagError]]:
    resolved: dict[StreamKind, str] = {}
    problems: list[BagError] = []
    for kind in StreamKind:
        topic = chosen.get(kind)
        if topic == UNUSED and kind not in _REQUIRED:
            continue
        try:
            candidate = _find(kind, found, resolved) if topic is None else _checked(kind, topic, found)
        except TopicError as error:
            problems.append(error)
            continue
        if candidate is not None:
            resolved[kind] = candidate
        elif kind in _REQUIRED:
            problems.append(
                BagError(
                    f"no topic of type {' or '.join(TYPES[kind])} as {kind}; the bag holds {describe(found)}. "
                    f"Record one, or name it in the topic mapping."
                )
            )
    return resolved, problems


def _find(kind: StreamKind, found: Mapping[str, str], resolved: Mapping[StreamKind, str]) -> str | None:
    for topic in DEFAULT_TOPICS[kind]:
        if found.get(topic) in TYPES[kind]:
            return topic
    if kind in _ONLY_BY_NAME:
        return None
    fitting = _fitting(kind, found)
    if kind is StreamKind.CAMERA_INFO and StreamKind.IMAGE in resolved:
        beside = camera_info_beside(resolved[StreamKind.IMAGE])
        if beside in fitting:
            return beside
        if len(_fitting(StreamKind.IMAGE, found)) > 1:  # it belongs to another of the cameras
            return None
    if len(fitting) > 1:
        names = ", ".join(sorted(fitting))
        raise TopicError(f"{len(fitting)} topics could be the {kind}: {names}; choose one with --topic {kind}=NAME")
    return fitting[0] if fitting else None


def _fitting(kind: StreamKind, found: Mapping[str, str]) -> list[str]:
    """Topics that could serve a stream; of an image that comes raw and compressed, the compressed one."""
    fitting = [t for t, name in found.items() if name in TYPES[kind] and not t.startswith(TRUTH_PREFIX)]
    return [topic for topic in fitting if f"{topic}{COMPRESSED_SUFFIX}" not in fitting]


def camera_info_beside(image_topic: str) -> str:
    """Where image_transport publishes the CameraInfo of an image."""
    return image_topic.removesuffix(COMPRESSED_SUFFIX).rpartition("/")[0] + "/camera_info"


def _checked(kind: StreamKind, topic: str, found: Mapping[str, str]) -> str:
    if found.get(topic) not in TYPES[kind]:
        has = f"has type {found[topic]}" if topic in found else "does not exist"
        fitting = {name: found[name] for name in found if found[name] in TYPES[kind]}
        offered = f"which {describe(fitting)} would be" if fitting else f"and the bag holds {describe(found)}"
        raise TopicError(f"topic {topic} for the {kind} {has}; it must be {' or '.join(TYPES[kind])}, {offered}.")
    return topic
