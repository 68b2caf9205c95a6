# SPDX-License-Identifier: Apache-2.0
"""A drive of a second, written message by message."""

import math

import cv2
import numpy as np

from geodistill_core.bags.manifest import DriveManifest, save_manifest
from geodistill_core.bags.writer import BagWriter, typestore
from geodistill_core.types import level_mount

START_NS = 1_700_000_000_000_000_000
IMAGE, FIX, IMU, ODOMETRY = "/camera/image/compressed", "/gnss/fix", "/imu/data", "/wheel/odometry"
TYPES = {
    IMAGE: "sensor_msgs/msg/CompressedImage",
    FIX: "sensor_msgs/msg/NavSatFix",
    IMU: "sensor_msgs/msg/Imu",
    ODOMETRY: "nav_msgs/msg/Odometry",
}


def cls(name):
    return typestore().types[name]


def header(stamp_ns):
    stamp = cls("builtin_interfaces/msg/Time")(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return cls("std_msgs/msg/Header")(stamp=stamp, frame_id="sensor")


def vector(x=0.0):
    return cls("geometry_msgs/msg/Vector3")(x=x, y=0.0, z=0.0)


def quaternion(yaw_rad):
    return cls("geometry_msgs/msg/Quaternion")(x=0.0, y=0.0, z=math.sin(yaw_rad / 2), w=math.cos(yaw_rad / 2))


def image(stamp_ns, data=None):
    if data is None:
        ramp = np.tile(np.linspace(0, 255, 128, dtype=np.uint8), (64, 1))
        data = cv2.imencode(".jpg", ramp)[1].tobytes()
    return cls(TYPES[IMAGE])(header=header(stamp_ns), format="jpeg", data=np.frombuffer(data, np.uint8))


def fix(stamp_ns):
    status = cls("sensor_msgs/msg/NavSatStatus")(status=0, service=1)
    covariance = np.diag([4.0, 4.0, 9.0]).ravel()
    return cls(TYPES[FIX])(
        header=header(stamp_ns), status=status, latitude=48.137, longitude=11.575, altitude=0.0,
        position_covariance=covariance, position_covariance_type=3,
    )  # fmt: skip


def imu(stamp_ns):
    small = np.diag([1e-4, 1e-4, 1e-2]).ravel()
    return cls(TYPES[IMU])(
        header=header(stamp_ns), orientation=quaternion(0.5), orientation_covariance=small,
        angular_velocity=vector(), angular_velocity_covariance=small,
        linear_acceleration=vector(), linear_acceleration_covariance=small,
    )  # fmt: skip


def odometry(stamp_ns):
    point = cls("geometry_msgs/msg/Point")(x=0.0, y=0.0, z=0.0)
    pose = cls("geometry_msgs/msg/Pose")(position=point, orientation=quaternion(0.5))
    twist = cls("geometry_msgs/msg/Twist")(linear=vector(), angular=vector())
    return cls(TYPES[ODOMETRY])(
        header=header(stamp_ns), child_frame_id="base_link",
        pose=cls("geometry_msgs/msg/PoseWithCovariance")(pose=pose, covariance=np.zeros(36)),
        twist=cls("geometry_msgs/msg/TwistWithCovariance")(twist=twist, covariance=np.zeros(36)),
    )  # fmt: skip


def write_small_drive(folder, images=6, broken=(), recorded_later_ns=0):
    """Sensors from 0 s, images from 1 s on at 4 Hz; images whose number is in `broken` are cut in half."""
    events = [(i * 50_000_000, topic, make) for i in range(60) for topic, make in ((IMU, imu), (ODOMETRY, odometry))]
    events += [(i * 200_000_000, FIX, fix) for i in range(15)]
    events += [(10**9 + i * 250_000_000, IMAGE, i) for i in range(images)]
    path = folder / "drive.mcap"
    with BagWriter(path) as writer:
        for topic, msgtype in TYPES.items():
            writer.add_topic(topic, msgtype)
        for after_ns, topic, make in sorted(events, key=lambda event: event[0]):
            stamp_ns = START_NS + after_ns
            whole = image(stamp_ns) if topic == IMAGE else make(stamp_ns)
            if topic == IMAGE and make in broken:
                whole = image(stamp_ns, bytes(whole.data)[: len(whole.data) // 2])
            writer.write(topic, whole, stamp_ns + recorded_later_ns)
    mount = level_mount(1.8)
    save_manifest(path, DriveManifest(T_base_camera=tuple(tuple(row) for row in mount.tolist())))
    return path
