# SPDX-License-Identifier: Apache-2.0
"""A vehicle that drives a street forward and in reverse for ever: few pictures to render, an endless track."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from geodistill_ros.messages import header_of
from geometry_msgs.msg import Twist, TwistWithCovariance
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Imu, NavSatFix, NavSatStatus

from geodistill_core.datasets.synthcity.drive import Drive, simulate_drive
from geodistill_core.datasets.synthcity.measurements import START_NS
from geodistill_core.geometry.geodesy import LocalFrame

RATE_HZ = 10.0
STYLE, SEED, PICTURES = "campus", 20_031, 300
SIGMA_FIX_M, SIGMA_YAW_RAD = 5.0, 0.05


@dataclass(frozen=True)
class Moment:
    """What the sensors say at a stamp, and where the vehicle is (degrees)."""

    stamp_ns: int
    image: CompressedImage
    imu: Imu
    odometry: Odometry
    fix: NavSatFix | None
    latitude: float
    longitude: float


class Shuttle:
    """The drive there and back; deterministic."""

    def __init__(self) -> None:
        self.drive: Drive = simulate_drive(STYLE, SEED, "standard", PICTURES, RATE_HZ)
        with ThreadPoolExecutor(2) as pool:
            self._jpegs = list(pool.map(self._jpeg, range(PICTURES)))

    def moments(self, seconds: float) -> Iterator[Moment]:
        """One moment each tenth of a second, for so long."""
        rng = np.random.default_rng(1)
        bias = np.zeros(2)
        for step in range(round(seconds * RATE_HZ)):
            lap, at = divmod(step, PICTURES - 1)
            index = at if lap % 2 == 0 else PICTURES - 1 - at
            bias = 0.999 * bias + rng.normal(0.0, 0.2, 2)
            yield self._moment(START_NS + round(step * 1e9 / RATE_HZ), index, lap % 2 == 0, bias, step)

    def _moment(self, stamp_ns: int, index: int, forward: bool, bias: np.ndarray, step: int) -> Moment:
        second = float(self.drive.frame_seconds[index])
        motion, truth = self.drive.trajectory, self.drive.truth(second)
        sign = 1.0 if forward else -1.0
        speed = sign * float(motion.at(np.array(second), motion.speed_mps))
        rate = sign * float(motion.at(np.array(second), motion.yaw_rate_radps))
        roll, pitch = (float(motion.at(np.array(second), tilt)) for tilt in (motion.roll_rad, motion.pitch_rad))
        image = CompressedImage(header=header_of(stamp_ns, "camera"), format="jpeg", data=self._jpegs[index])
        odometry = Odometry(header=header_of(stamp_ns, "odom"), child_frame_id="base_link")
        odometry.twist = TwistWithCovariance(twist=Twist())
        odometry.twist.twist.linear.x, odometry.twist.twist.angular.z = speed, rate
        fix = None
        if step % round(RATE_HZ) == 0:
            plane = LocalFrame(self.drive.city.datum)
            east, north = plane.to_enu(truth.latitude, truth.longitude)
            latitude, longitude = plane.to_geodetic(east + bias[0], north + bias[1])
            fix = NavSatFix(header=header_of(stamp_ns, "gnss"), latitude=float(latitude), longitude=float(longitude))
            fix.status.status = NavSatStatus.STATUS_FIX
            fix.position_covariance = [float(v) for v in (np.eye(3) * SIGMA_FIX_M**2).ravel()]
            fix.position_covariance_type = NavSatFix.COVARIANCE_TYPE_KNOWN
        imu = _imu(stamp_ns, roll, pitch, truth.yaw_enu_rad)
        return Moment(stamp_ns, image, imu, odometry, fix, truth.latitude, truth.longitude)

    def _jpeg(self, index: int) -> bytes:
        bgr = cv2.cvtColor(self.drive.image(index).rgb, cv2.COLOR_RGB2BGR)
        return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def _imu(stamp_ns: int, roll: float, pitch: float, yaw: float) -> Imu:
    message = Imu(header=header_of(stamp_ns, "imu"))
    (cr, cp, cy), (sr, sp, sy) = (tuple(f(angle / 2) for angle in (roll, pitch, yaw)) for f in (np.cos, np.sin))
    message.orientation.w = float(cr * cp * cy + sr * sp * sy)
    message.orientation.x = float(sr * cp * cy - cr * sp * sy)
    message.orientation.y = float(cr * sp * cy + sr * cp * sy)
    message.orientation.z = float(cr * cp * sy - sr * sp * cy)
    message.orientation_covariance = [1e-4, 0.0, 0.0, 0.0, 1e-4, 0.0, 0.0, 0.0, SIGMA_YAW_RAD**2]
    return message
