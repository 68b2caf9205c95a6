# SPDX-License-Identifier: Apache-2.0
"""Hand-made drives: due east at 5 m/s from a datum, one image every half second."""

import cv2
import numpy as np

from geodistill_core.bags import compose
from geodistill_core.bags.topics import (
    CAMERA_INFO,
    IMAGE_COMPRESSED,
    IMU,
    NAV_SAT_FIX,
    ODOMETRY,
    POSE_STAMPED,
)
from geodistill_core.bags.writer import BagWriter
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import CameraModel, GeoPoint

T0 = 1_700_000_000_000_000_000
DATUM = GeoPoint(47.5, 8.7)
FRAME = LocalFrame(DATUM)
SPEED = 5.0
CAMERA = CameraModel(64, 48, np.array([[40.0, 0, 32], [0, 41, 24], [0, 0, 1]]), (0.1, 0.01, 0, 0, 0))
TOPICS = {
    "/camera/image/compressed": IMAGE_COMPRESSED,
    "/gnss/fix": NAV_SAT_FIX,
    "/imu/data": IMU,
    "/wheel/odometry": ODOMETRY,
    "/ground_truth/pose": POSE_STAMPED,
    "/ground_truth/datum": NAV_SAT_FIX,
}


def ns(seconds):
    return T0 + round(seconds * 1e9)


def picture(index, width=128, height=64):
    rng = np.random.default_rng(index)
    small = rng.integers(0, 255, (4, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def messages(seconds=4.0):
    """(topic, message, stamp) of a whole drive, sorted by stamp, fixes true to the point."""
    out = [("/ground_truth/datum", compose.nav_sat_fix(ns(0), DATUM, 0.01), ns(0))]

    def add(topic, rate_hz, make):
        for step in range(int(seconds * rate_hz) + 1):
            out.append((topic, make(step, ns(step / rate_hz), SPEED * step / rate_hz), ns(step / rate_hz)))

    add("/gnss/fix", 5, lambda k, t, x: compose.nav_sat_fix(t, FRAME.point(x, 0.0), 8.0))
    add("/imu/data", 50, lambda k, t, x: compose.imu(t, (0.01, -0.02, 0.1), (0.01, 0.01, 0.17)))
    add("/wheel/odometry", 20, lambda k, t, x: compose.odometry(t, (x, 0.0, 0.0), SPEED, 0.0))
    add("/ground_truth/pose", 10, lambda k, t, x: compose.pose_stamped(t, x, 2.0, 3.0 - 0.01 * x))
    add("/camera/image/compressed", 2, lambda k, t, x: compose.compressed_image(t, picture(k)))
    return sorted(out, key=lambda entry: entry[2])


def write(path, entries, topics=None):
    """An MCAP of these messages, recorded at their stamps (or at a fourth element)."""
    topics = TOPICS if topics is None else topics
    with BagWriter(path) as writer:
        for topic, msgtype in topics.items():
            writer.add_topic(topic, msgtype, latched=topic == "/ground_truth/datum")
        for topic, message, stamp, *recorded in entries:
            writer.write(topic, message, recorded[0] if recorded else stamp)
    return path


def without(entries, *topics):
    return [entry for entry in entries if entry[0] not in topics]


PINHOLE_TOPICS = {**TOPICS, "/camera/camera_info": CAMERA_INFO}
