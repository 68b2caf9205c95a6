# SPDX-License-Identifier: Apache-2.0
"""A simulated drive as ROS messages in the order of their stamps."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from geodistill_core.bags import compose
from geodistill_core.bags.drive_topics import TRUTH_SIGMA_M, OdometryTrack, mounts
from geodistill_core.bags.topics import (
    CAMERA_INFO,
    DEFAULT_TOPICS,
    IMAGE_COMPRESSED,
    IMAGE_RAW,
    IMU,
    NAV_SAT_FIX,
    ODOMETRY,
    POSE_STAMPED,
    TF_MESSAGE,
    TF_STATIC_TOPIC,
    TRUTH_FIX_TOPIC,
    StreamKind,
)
from geodistill_core.datasets.synthcity.drive import Drive
from geodistill_core.datasets.synthcity.measurements import stamps_ns
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.readings import MotionReading
from geodistill_core.types import GeoPoint

Message = tuple[int, str, Any]
Pictures = Iterable[tuple[int, Any]]


def _default(kind: StreamKind) -> str:
    return DEFAULT_TOPICS[kind][0]


def drive_topics(drive: Drive, raw_images: bool) -> dict[str, str]:
    """Topics of a simulated drive and their types."""
    image = (DEFAULT_TOPICS[StreamKind.IMAGE][1], IMAGE_RAW) if raw_images else None
    topics = dict([image or (_default(StreamKind.IMAGE), IMAGE_COMPRESSED)])
    if drive.rig.camera is not None:
        topics[_default(StreamKind.CAMERA_INFO)] = CAMERA_INFO
    return topics | {
        TF_STATIC_TOPIC: TF_MESSAGE,
        _default(StreamKind.FIX): NAV_SAT_FIX,
        _default(StreamKind.ATTITUDE): IMU,
        _default(StreamKind.MOTION): ODOMETRY,
        _default(StreamKind.TRUTH_POSE): POSE_STAMPED,
        _default(StreamKind.TRUTH_DATUM): NAV_SAT_FIX,
        TRUTH_FIX_TOPIC: NAV_SAT_FIX,
    }


def drive_messages(
    drive: Drive, pictures: Pictures, raw_images: bool, report: Callable[[int], None]
) -> Iterator[Message]:
    """All messages by stamp; sensors before the image of the same stamp."""
    streams = (_said_once(drive), _truth(drive), _fixes(drive), _attitudes(drive), _motions(drive))
    return heapq.merge(*streams, _images(drive, pictures, raw_images, report), key=lambda message: message[0])


def _said_once(drive: Drive) -> Iterator[Message]:
    stamp = int(drive.gnss.stamps_ns[0])
    yield stamp, TF_STATIC_TOPIC, mounts(stamp, drive.rig.mount)
    message = compose.nav_sat_fix(stamp, drive.city.datum, TRUTH_SIGMA_M, "map")
    yield stamp, _default(StreamKind.TRUTH_DATUM), message


def _truth(drive: Drive) -> Iterator[Message]:
    frame = LocalFrame(drive.city.datum)
    for second in drive.truth_seconds():
        stamp, pose = int(stamps_ns(second)), drive.trajectory.pose(float(second), drive.camera_height_m)
        point = frame.point(pose.east_m, pose.north_m)
        message = compose.pose_stamped(stamp, pose.east_m, pose.north_m, wrap(pose.yaw_enu_rad))
        yield stamp, _default(StreamKind.TRUTH_POSE), message
        yield stamp, TRUTH_FIX_TOPIC, compose.nav_sat_fix(stamp, point, TRUTH_SIGMA_M, "base_link")


def _fixes(drive: Drive) -> Iterator[Message]:
    frame, track = LocalFrame(drive.city.datum), drive.gnss
    for stamp, east, north, available in zip(
        track.stamps_ns.tolist(), track.east_m, track.north_m, track.available, strict=True
    ):
        point: GeoPoint | None = frame.point(float(east), float(north)) if available else None
        yield stamp, _default(StreamKind.FIX), compose.nav_sat_fix(stamp, point, track.sigma_m)


def _attitudes(drive: Drive) -> Iterator[Message]:
    track = drive.attitude
    sigmas = (track.sigma_tilt_rad, track.sigma_tilt_rad, track.sigma_yaw_rad)
    columns = (track.roll_rad.tolist(), track.pitch_rad.tolist(), track.yaw_enu_rad.tolist())
    for stamp, roll, pitch, yaw in zip(track.stamps_ns.tolist(), *columns, strict=True):
        yield stamp, _default(StreamKind.ATTITUDE), compose.imu(stamp, (roll, pitch, yaw), sigmas)


def _motions(drive: Drive) -> Iterator[Message]:
    track, odometry = drive.odometry, OdometryTrack()
    for reading in zip(track.stamps_ns.tolist(), track.speed_mps.tolist(), track.yaw_rate_radps.tolist(), strict=True):
        yield reading[0], _default(StreamKind.MOTION), odometry.message(MotionReading(*reading))


def _images(
    drive: Drive, pictures: Iterable[tuple[int, Any]], raw: bool, report: Callable[[int], None]
) -> Iterator[Message]:
    topic = DEFAULT_TOPICS[StreamKind.IMAGE][int(raw)]
    for done, (stamp_ns, message) in enumerate(pictures, 1):
        if drive.rig.camera is not None:
            yield stamp_ns, _default(StreamKind.CAMERA_INFO), compose.camera_info(stamp_ns, drive.rig.camera)
        yield stamp_ns, topic, message
        report(done)
