# SPDX-License-Identifier: Apache-2.0
"""What a vehicle says, as messages on the topics that a replay looks for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geodistill_core.bags import compose
from geodistill_core.bags.compose import Triple
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
from geodistill_core.bags.writer import BagWriter
from geodistill_core.camera import check_mount
from geodistill_core.datasets.truth import Truth
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.readings import AttitudeReading, MotionReading
from geodistill_core.types import Array, CameraModel, GeoPoint

SAMPLE_TOPIC = "/dataset/sample"
"""Which sample of a data set the image of the same recording time is (`std_msgs/String`)."""
TRUTH_SIGMA_M = 0.02

_JPEG_TOPIC, _RAW_TOPIC = DEFAULT_TOPICS[StreamKind.IMAGE]
_DATUM_TOPIC = DEFAULT_TOPICS[StreamKind.TRUTH_DATUM][0]
_MAX_STEP_S = 10.0
LATCHED = frozenset((TF_STATIC_TOPIC, _DATUM_TOPIC))
"""Said once, and again to whoever asks later."""


class OdometryTrack:
    """The pose in the frame odom that speeds and yaw rates add up to, from where they start.

    A vehicle that says nothing for over ten seconds counts as parked meanwhile.
    """

    def __init__(self) -> None:
        self._x = self._y = self._yaw = 0.0
        self._last_ns: int | None = None

    def message(self, motion: MotionReading) -> Any:
        """`nav_msgs/Odometry` after one more reading."""
        step_s = 0.0 if self._last_ns is None else (motion.stamp_ns - self._last_ns) * 1e-9
        if step_s > _MAX_STEP_S:
            step_s = 0.0
        turn = motion.yaw_rate_radps * step_s
        middle = self._yaw + 0.5 * turn
        self._x += motion.speed_mps * step_s * math.cos(middle)
        self._y += motion.speed_mps * step_s * math.sin(middle)
        self._yaw, self._last_ns = self._yaw + turn, motion.stamp_ns
        pose = self._x, self._y, wrap(self._yaw)
        return compose.odometry(motion.stamp_ns, pose, motion.speed_mps, motion.yaw_rate_radps)


class DriveTopics:
    """Writes one vehicle's readings to a recording; topics come into being with their first message.

    `T_base_camera` (4x4) is where the camera sits, `datum` the origin of the true poses (the first of them by
    default). Each kind of reading in the order of time; the kinds in any order.

    Raises:
        ConfigError: the camera sits under the ground or more than 10 m above it.
    """

    def __init__(self, writer: BagWriter, T_base_camera: Array, datum: GeoPoint | None = None) -> None:
        check_mount(T_base_camera)
        self.topics: dict[str, str] = {}
        self._writer, self._mount = writer, T_base_camera
        self._datum, self._frame = datum, None if datum is None else LocalFrame(datum)
        self._odometry = OdometryTrack()

    def image(self, stamp_ns: int, picture: Array | bytes, camera: CameraModel | None = None) -> None:
        """A picture, and the camera's model unless it is a panorama.

        The bytes of a JPEG or PNG file are stored untouched; RGB pixels [H, W, 3] uint8 are stored without loss.

        Raises:
            DatasetError: the bytes are no whole JPEG or PNG.
        """
        if isinstance(picture, bytes):
            topic, msgtype, message = _JPEG_TOPIC, IMAGE_COMPRESSED, compose.encoded_image(stamp_ns, picture)
        else:
            topic, msgtype, message = _RAW_TOPIC, IMAGE_RAW, compose.raw_image(stamp_ns, picture)
        if camera is not None:
            self._say(StreamKind.CAMERA_INFO, CAMERA_INFO, compose.camera_info(stamp_ns, camera), stamp_ns)
        self._write(topic, msgtype, message, stamp_ns)

    def fix(self, stamp_ns: int, point: GeoPoint | None, sigma_m: float) -> None:
        """What the GNSS receiver says; no point means that it has no fix."""
        self._say(StreamKind.FIX, NAV_SAT_FIX, compose.nav_sat_fix(stamp_ns, point, sigma_m), stamp_ns)

    def attitude(self, reading: AttitudeReading, sigma_tilt_rad: float = 0.01, **rates: Triple | None) -> None:
        """Roll, pitch and heading; `rates_radps` and `accelerations_mps2` as `compose.imu` takes them."""
        angles = reading.roll_rad, reading.pitch_rad, reading.yaw_enu_rad
        sigmas = sigma_tilt_rad, sigma_tilt_rad, reading.sigma_yaw_rad
        message = compose.imu(reading.stamp_ns, angles, sigmas, **rates)
        self._say(StreamKind.ATTITUDE, IMU, message, reading.stamp_ns)

    def rates(self, stamp_ns: int, rates_radps: Triple, accelerations_mps2: Triple) -> None:
        """What gyroscope and accelerometer say along base_link's axes where nothing knows the attitude."""
        message = compose.imu(stamp_ns, None, rates_radps=rates_radps, accelerations_mps2=accelerations_mps2)
        self._say(StreamKind.ATTITUDE, IMU, message, stamp_ns)

    def motion(self, reading: MotionReading) -> None:
        """Speed and yaw rate, and the pose that they add up to."""
        self._say(StreamKind.MOTION, ODOMETRY, self._odometry.message(reading), reading.stamp_ns)

    def truth(self, stamp_ns: int, truth: Truth) -> None:
        """Where the vehicle really was."""
        if self._frame is None:
            self._datum, self._frame = truth.point, LocalFrame(truth.point)
        east_m, north_m = self._frame.to_enu(truth.latitude, truth.longitude)
        pose = compose.pose_stamped(stamp_ns, east_m, north_m, truth.yaw_enu_rad)
        self._say(StreamKind.TRUTH_POSE, POSE_STAMPED, pose, stamp_ns)
        fix = compose.nav_sat_fix(stamp_ns, truth.point, TRUTH_SIGMA_M, "base_link")
        self._write(TRUTH_FIX_TOPIC, NAV_SAT_FIX, fix, stamp_ns)

    def sample(self, stamp_ns: int, name: str) -> None:
        """Which sample of a data set the image of this stamp is."""
        self._write(SAMPLE_TOPIC, compose.STRING, compose.text(name), stamp_ns)

    def _say(self, kind: StreamKind, msgtype: str, message: Any, stamp_ns: int) -> None:
        self._write(DEFAULT_TOPICS[kind][0], msgtype, message, stamp_ns)

    def _write(self, topic: str, msgtype: str, message: Any, stamp_ns: int) -> None:
        if TF_STATIC_TOPIC not in self.topics:
            self._add(TF_STATIC_TOPIC, TF_MESSAGE)
            self._writer.write(TF_STATIC_TOPIC, mounts(stamp_ns, self._mount), stamp_ns)
        if self._datum is not None and _DATUM_TOPIC not in self.topics:
            self._add(_DATUM_TOPIC, NAV_SAT_FIX)
            datum = compose.nav_sat_fix(stamp_ns, self._datum, TRUTH_SIGMA_M, "map")
            self._writer.write(_DATUM_TOPIC, datum, stamp_ns)
        if topic not in self.topics:
            self._add(topic, msgtype)
        self._writer.write(topic, message, stamp_ns)

    def _add(self, topic: str, msgtype: str) -> None:
        self.topics[topic] = msgtype
        self._writer.add_topic(topic, msgtype, latched=topic in LATCHED)


def mounts(stamp_ns: int, T_base_camera: Array) -> Any:
    """`/tf_static`: the camera's mount; the antenna counts as mounted at the base's origin."""
    return compose.static_transforms(stamp_ns, {"camera": T_base_camera, "gnss": np.eye(4)})
