# SPDX-License-Identifier: Apache-2.0
"""The answers of an offline replay as a recording, under the node's topics and the images' stamps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from geodistill_core.bags import compose
from geodistill_core.bags.reader import DriveFrame, DriveReader
from geodistill_core.bags.topics import IMAGE_COMPRESSED, NAV_SAT_FIX, TF_MESSAGE
from geodistill_core.bags.writer import BagWriter, typestore
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.overlay import heatmap_picture, render_overlay
from geodistill_core.localization.planar_pose import PlanarPose, UnmeasuredSigmas, covariance_36, planar_pose
from geodistill_core.types import Estimate, GeoPoint

POSE_TOPIC = "/geodistill/pose"
LIKELIHOOD_TOPIC = "/geodistill/likelihood"
FIX_TOPIC = "/geodistill/fix"
DATUM_TOPIC = "/geodistill/datum"
OVERLAY_TOPIC = "/geodistill/overlay/compressed"
HEATMAP_TOPIC = "/geodistill/heatmap/compressed"
TF_TOPIC = "/tf"
POSE_TYPE = "geometry_msgs/msg/PoseWithCovarianceStamped"
TOPICS = {
    DATUM_TOPIC: NAV_SAT_FIX,
    POSE_TOPIC: POSE_TYPE,
    FIX_TOPIC: NAV_SAT_FIX,
    HEATMAP_TOPIC: IMAGE_COMPRESSED,
    OVERLAY_TOPIC: IMAGE_COMPRESSED,
    TF_TOPIC: TF_MESSAGE,
}

MAP_FRAME = "map"
ANSWER_FRAME = "geodistill"
"""The base as answered, for viewers to follow; the drive itself may place base_link elsewhere in its tree."""
OVERLAY_PX = 256
JPEG_QUALITY = 85
_COVARIANCE_KNOWN = 3
_UNMEASURED = UnmeasuredSigmas()


def datum_of(reader: DriveReader) -> GeoPoint | None:
    """Where the drive's ground truth has its origin, so that truth and answers share one frame; None without."""
    truth = reader.survey.truth
    return None if truth is None else truth.datum


class ResultBag:
    """Writes `results.mcap` frame by frame; the file appears when the context is left without an exception.

    Without a `datum` the map frame's origin is the first answered frame's GNSS fix, as the node has it.
    """

    def __init__(self, path: Path, datum: GeoPoint | None = None) -> None:
        self._writer = BagWriter(path)
        self._frame: LocalFrame | None = None
        self._datum = datum
        for topic, msgtype in TOPICS.items():
            self._writer.add_topic(topic, msgtype, latched=topic == DATUM_TOPIC)

    def add(self, frame: DriveFrame, estimate: Estimate) -> None:
        """Record pose, fix, frame, heat map and overlay of an answered frame; raises CovarianceError."""
        local = self._frame or self._place(frame, estimate)
        stamp_ns = estimate.stamp_ns
        pose = planar_pose(estimate, local)
        self._writer.write(POSE_TOPIC, _pose_message(stamp_ns, pose), stamp_ns)
        self._writer.write(FIX_TOPIC, _fix_message(estimate), stamp_ns)
        self._writer.write(TF_TOPIC, _frame_message(stamp_ns, pose), stamp_ns)
        prior = frame.frame_prior.prior.point if frame.frame_prior else None
        truth = frame.truth.point if frame.truth else None
        pictures = {
            HEATMAP_TOPIC: heatmap_picture(estimate.heatmap.position()),
            OVERLAY_TOPIC: render_overlay(estimate, size=OVERLAY_PX, prior=prior, truth=truth),
        }
        for topic, picture in pictures.items():
            self._writer.write(topic, compose.compressed_image(stamp_ns, picture, MAP_FRAME, JPEG_QUALITY), stamp_ns)

    def _place(self, frame: DriveFrame, estimate: Estimate) -> LocalFrame:
        """Fix the map frame, and say where it lies."""
        fix = GeoPoint(frame.fix.latitude, frame.fix.longitude) if frame.fix else estimate.point
        self._frame = LocalFrame(self._datum or fix)
        message = compose.nav_sat_fix(estimate.stamp_ns, self._frame.origin, 0.0, MAP_FRAME)
        unknown = replace(message, position_covariance_type=0)
        self._writer.write(DATUM_TOPIC, unknown, estimate.stamp_ns)
        return self._frame

    def __enter__(self) -> ResultBag:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)


def _pose_message(stamp_ns: int, pose: PlanarPose) -> Any:
    """`PoseWithCovarianceStamped` of the base in the map frame (z = 0, level); raises CovarianceError."""
    types = typestore().types
    half = pose.yaw_rad / 2.0
    turned = types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=math.sin(half), w=math.cos(half))
    place = types["geometry_msgs/msg/Point"](x=pose.east_m, y=pose.north_m, z=0.0)
    return types[POSE_TYPE](
        header=compose.header(stamp_ns, MAP_FRAME),
        pose=types["geometry_msgs/msg/PoseWithCovariance"](
            pose=types["geometry_msgs/msg/Pose"](position=place, orientation=turned),
            covariance=np.array(covariance_36(pose.covariance, _UNMEASURED)),
        ),
    )


def _frame_message(stamp_ns: int, pose: PlanarPose) -> Any:
    """Where the answer's frame lies in the map frame."""
    T = np.eye(4)
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    T[:2, :2], T[:2, 3] = ((cos, -sin), (sin, cos)), (pose.east_m, pose.north_m)
    return compose.moving_transform(stamp_ns, MAP_FRAME, ANSWER_FRAME, T)


def _fix_message(estimate: Estimate) -> Any:
    """The position on the ellipsoid (altitude 0) with its covariance."""
    P = np.array(covariance_36(np.asarray(estimate.covariance), _UNMEASURED)).reshape(6, 6)
    message = compose.nav_sat_fix(estimate.stamp_ns, estimate.point, 0.0, "base_link")
    return replace(
        message, position_covariance=P[:3, :3].reshape(-1).copy(), position_covariance_type=_COVARIANCE_KNOWN
    )
