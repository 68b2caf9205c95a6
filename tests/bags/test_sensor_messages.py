# SPDX-License-Identifier: Apache-2.0
"""Messages to readings; the oracle for attitudes is a product of rotation matrices."""

import math
from types import SimpleNamespace as Message

import numpy as np
import pytest

from geodistill_core.bags.messages import attitude_from, camera_from, fix_from, motion_from
from geodistill_core.errors import ConfigError

HEADER = Message(stamp=Message(sec=1_700_000_000, nanosec=123_456_789))
STAMP_NS = 1_700_000_000_123_456_789


def quaternion_about(axis, angle):
    return np.append(np.asarray(axis) * math.sin(angle / 2), math.cos(angle / 2))


def product(p, q):
    """Hamilton product of (x, y, z, w) quaternions."""
    vector = p[3] * q[:3] + q[3] * p[:3] + np.cross(p[:3], q[:3])
    return np.append(vector, p[3] * q[3] - p[:3] @ q[:3])


def imu(quaternion, variance=0.03, first=0.001):
    covariance = np.diag([first, 0.001, variance]).reshape(-1)
    orientation = Message(**dict(zip("xyzw", map(float, quaternion), strict=True)))
    return Message(header=HEADER, orientation=orientation, orientation_covariance=covariance)


@pytest.mark.parametrize("roll", [-0.3, 0.0, 0.2])
@pytest.mark.parametrize("pitch", [-0.2, 0.4])
@pytest.mark.parametrize("yaw", [-3.1, -1.0, 0.0, 2.0])
def test_attitude_is_yaw_then_pitch_then_roll(roll, pitch, yaw):
    turned = product(quaternion_about([0, 0, 1], yaw), quaternion_about([0, 1, 0], pitch))
    reading = attitude_from(imu(product(turned, quaternion_about([1, 0, 0], roll))))
    assert (reading.roll_rad, reading.pitch_rad, reading.yaw_enu_rad) == pytest.approx((roll, pitch, yaw))
    assert reading.stamp_ns == STAMP_NS
    assert reading.sigma_yaw_rad == pytest.approx(math.sqrt(0.03))


def test_an_imu_without_orientation_is_refused():
    assert attitude_from(imu([0, 0, 0, 1], first=-1.0)) == "no_orientation"
    assert attitude_from(imu([0, 0, 0, 0])) == "quaternion"
    assert attitude_from(imu([math.nan, 0, 0, 1])) == "quaternion"


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf])
def test_an_unknown_heading_variance_gives_the_default(variance):
    reading = attitude_from(imu([0, 0, 0, 1.01], variance), default_sigma_yaw_rad=0.3)
    assert reading.sigma_yaw_rad == 0.3


def test_fix_and_motion_keep_stamp_and_values():
    fix = fix_from(
        Message(
            header=HEADER,
            status=Message(status=0, service=1),
            latitude=48.7,
            longitude=9.1,
            position_covariance=np.diag([16.0, 9.0, 50.0]).reshape(-1),
            position_covariance_type=2,
        )
    )
    assert (fix.stamp_ns, fix.latitude, fix.longitude, fix.sigma_m) == (STAMP_NS, 48.7, 9.1, 4.0)
    twist = Message(twist=Message(linear=Message(x=7.5), angular=Message(z=-0.2)))
    motion = motion_from(Message(header=HEADER, twist=twist))
    assert (motion.stamp_ns, motion.speed_mps, motion.yaw_rate_radps) == (STAMP_NS, 7.5, -0.2)


def camera_info(**change):
    region = Message(width=0, height=0)
    values = {"width": 640, "height": 320, "distortion_model": "plumb_bob", "d": [0.1, 0, 0, 0, 0.01]}
    values |= {"k": [300.0, 0, 320, 0, 310.0, 160, 0, 0, 1], "binning_x": 0, "binning_y": 0, "roi": region}
    return Message(**{**values, **change})


def test_camera_info_becomes_a_pinhole_model():
    camera = camera_from(camera_info())
    assert (camera.width, camera.height) == (640, 320)
    assert camera.K[1].tolist() == [0, 310, 160]
    assert camera.distortion == (0.1, 0, 0, 0, 0.01)
    assert camera_from(camera_info(d=[0.0] * 5)).distortion == ()


@pytest.mark.parametrize(
    "change",
    [
        {"distortion_model": "equidistant"},
        {"binning_x": 2},
        {"roi": Message(width=100, height=100)},
        {"k": [0.0] * 9},
        {"k": [math.nan] * 9},
    ],
)
def test_cameras_that_cannot_be_used_as_a_pinhole_are_refused(change):
    with pytest.raises(ConfigError):
        camera_from(camera_info(**change))
