# SPDX-License-Identifier: Apache-2.0
"""Plain values to ROS messages (rosbags' classes)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from geodistill_core.bags.images import check_encoded
from geodistill_core.bags.topics import (
    CAMERA_INFO,
    IMAGE_COMPRESSED,
    IMAGE_RAW,
    IMU,
    NAV_SAT_FIX,
    ODOMETRY,
    POSE_STAMPED,
    TF_MESSAGE,
)
from geodistill_core.bags.writer import typestore
from geodistill_core.errors import DatasetError
from geodistill_core.types import Array, CameraModel, GeoPoint

STRING = "std_msgs/msg/String"

STATUS_NO_FIX = -1
STATUS_FIX = 0
_SERVICE_GPS = 1
_COVARIANCE_DIAGONAL = 2
_UNKNOWN_VARIANCE = 1e6
_UNREPORTED = np.zeros((3, 3))
_UNREPORTED[0, 0] = -1.0

Triple = tuple[float, float, float]


def _make(name: str, **fields: Any) -> Any:
    return typestore().types[name](**fields)


def header(stamp_ns: int, frame: str) -> Any:
    """`std_msgs/Header`."""
    stamp = _make("builtin_interfaces/msg/Time", sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)
    return _make("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def compressed_image(stamp_ns: int, rgb: Array, frame: str = "camera", quality: int = 95) -> Any:
    """`sensor_msgs/CompressedImage`, JPEG of H x W x 3 uint8 RGB."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DatasetError(f"image {rgb.shape} cannot be encoded as JPEG; check its size")
    name = "rgb8; jpeg compressed bgr8"
    return _make(IMAGE_COMPRESSED, header=header(stamp_ns, frame), format=name, data=data.reshape(-1))


def encoded_image(stamp_ns: int, data: bytes, frame: str = "camera") -> Any:
    """`sensor_msgs/CompressedImage` of a JPEG's or PNG's own bytes, untouched.

    Raises:
        DatasetError: the bytes are neither, are cut off, or claim a size that no camera has.
    """
    content = np.frombuffer(data, np.uint8)
    check_encoded(content)
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return _make(IMAGE_COMPRESSED, header=header(stamp_ns, frame), format=f"rgb8; {kind} compressed bgr8", data=content)


def raw_image(stamp_ns: int, rgb: Array, frame: str = "camera") -> Any:
    """`sensor_msgs/Image` with encoding rgb8."""
    height, width = rgb.shape[:2]
    data = np.ascontiguousarray(rgb).reshape(-1)
    head = header(stamp_ns, frame)
    return _make(
        IMAGE_RAW,
        header=head,
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=data,
    )


def camera_info(stamp_ns: int, camera: CameraModel, frame: str = "camera") -> Any:
    """`sensor_msgs/CameraInfo` of an unrectified pinhole camera."""
    model = "rational_polynomial" if len(camera.distortion) > 5 else "plumb_bob"
    projection = np.hstack([camera.K, np.zeros((3, 1))])
    region = _make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return _make(
        CAMERA_INFO,
        header=header(stamp_ns, frame),
        height=camera.height,
        width=camera.width,
        distortion_model=model,
        d=np.array(camera.distortion or (0.0,) * 5, dtype=np.float64),
        k=camera.K.reshape(-1).astype(np.float64),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1).astype(np.float64),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def nav_sat_fix(stamp_ns: int, point: GeoPoint | None, sigma_m: float, frame: str = "gnss") -> Any:
    """`sensor_msgs/NavSatFix` with the same sigma east and north; without a point the receiver has no fix."""
    status = _make(
        "sensor_msgs/msg/NavSatStatus",
        status=STATUS_NO_FIX if point is None else STATUS_FIX,
        service=_SERVICE_GPS,
    )
    return _make(
        NAV_SAT_FIX,
        header=header(stamp_ns, frame),
        status=status,
        latitude=math.nan if point is None else point.latitude,
        longitude=math.nan if point is None else point.longitude,
        altitude=math.nan if point is None else 0.0,
        position_covariance=np.diag([sigma_m**2, sigma_m**2, (2.0 * sigma_m) ** 2]).reshape(-1),
        position_covariance_type=_COVARIANCE_DIAGONAL,
    )


def imu(
    stamp_ns: int,
    attitude_rad: Triple | None,
    sigmas_rad: Triple = (0.0, 0.0, 0.0),
    *,
    rates_radps: Triple | None = None,
    accelerations_mps2: Triple | None = None,
) -> Any:
    """`sensor_msgs/Imu` with roll, pitch, ENU yaw; what is None is unreported (-1, REP-145).

    Rates and accelerations are those of base_link (x forward, y left, z up), their covariance unknown (0).
    """
    spread = _UNREPORTED if attitude_rad is None else np.diag(np.square(sigmas_rad))
    return _make(
        IMU,
        header=header(stamp_ns, "base_link"),
        orientation=quaternion(*(attitude_rad or (0.0, 0.0, 0.0))),
        orientation_covariance=spread.reshape(-1).copy(),
        angular_velocity=_vector(*(rates_radps or ())),
        angular_velocity_covariance=_reported(rates_radps),
        linear_acceleration=_vector(*(accelerations_mps2 or ())),
        linear_acceleration_covariance=_reported(accelerations_mps2),
    )


def _reported(values: Triple | None) -> Array:
    return np.zeros(9) if values is not None else _UNREPORTED.reshape(-1).copy()


def odometry(stamp_ns: int, pose: tuple[float, float, float], speed_mps: float, yaw_rate_radps: float) -> Any:
    """`nav_msgs/Odometry`: x, y, yaw in the frame odom, and the twist of base_link."""
    x, y, yaw = pose
    twist = _make("geometry_msgs/msg/Twist", linear=_vector(speed_mps), angular=_vector(z=yaw_rate_radps))
    spread = np.diag([_UNKNOWN_VARIANCE] * 6).reshape(-1)
    return _make(
        ODOMETRY,
        header=header(stamp_ns, "odom"),
        child_frame_id="base_link",
        pose=_make("geometry_msgs/msg/PoseWithCovariance", pose=_pose(x, y, yaw), covariance=spread),
        twist=_make(
            "geometry_msgs/msg/TwistWithCovariance",
            twist=twist,
            covariance=np.diag([0.01, 0.01, 0.01, 1e-4, 1e-4, 1e-4]).reshape(-1),
        ),
    )


def pose_stamped(stamp_ns: int, east_m: float, north_m: float, yaw_enu_rad: float) -> Any:
    """`geometry_msgs/PoseStamped` in the frame map (ENU at the datum)."""
    return _make(POSE_STAMPED, header=header(stamp_ns, "map"), pose=_pose(east_m, north_m, yaw_enu_rad))


def static_transforms(stamp_ns: int, placed: Mapping[str, Array]) -> Any:
    """`tf2_msgs/TFMessage`: T_base_child (4x4) of each child of base_link."""
    return _make(TF_MESSAGE, transforms=[_transform(stamp_ns, "base_link", child, T) for child, T in placed.items()])


def moving_transform(stamp_ns: int, parent: str, child: str, T: Array) -> Any:
    """`tf2_msgs/TFMessage`: T_parent_child (4x4) at one moment."""
    return _make(TF_MESSAGE, transforms=[_transform(stamp_ns, parent, child, T)])


def text(content: str) -> Any:
    """`std_msgs/String`."""
    return _make(STRING, data=content)


def quaternion(roll: float, pitch: float, yaw: float) -> Any:
    """`geometry_msgs/Quaternion` of R = Rz(yaw) Ry(pitch) Rx(roll)."""
    (sr, cr), (sp, cp), (sy, cy) = ((math.sin(a / 2), math.cos(a / 2)) for a in (roll, pitch, yaw))
    return _make(
        "geometry_msgs/msg/Quaternion",
        x=sr * cp * cy - cr * sp * sy,
        y=cr * sp * cy + sr * cp * sy,
        z=cr * cp * sy - sr * sp * cy,
        w=cr * cp * cy + sr * sp * sy,
    )


def _transform(stamp_ns: int, parent: str, child: str, T: Array) -> Any:
    translation = _vector(*(float(value) for value in T[:3, 3]))
    return _make(
        "geometry_msgs/msg/TransformStamped",
        header=header(stamp_ns, parent),
        child_frame_id=child,
        transform=_make("geometry_msgs/msg/Transform", translation=translation, rotation=_rotation(T[:3, :3])),
    )


def _rotation(R: Array) -> Any:
    """`geometry_msgs/Quaternion` of any rotation matrix (Shepperd: from the largest of the four components)."""
    q = np.zeros(4)
    largest = int(np.argmax([*np.diag(R), np.trace(R)]))
    if largest == 3:
        q[:] = R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1], 1.0 + np.trace(R)
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q[i], q[j], q[k] = 1.0 + R[i, i] - R[j, j] - R[k, k], R[j, i] + R[i, j], R[k, i] + R[i, k]
        q[3] = R[k, j] - R[j, k]
    x, y, z, w = (float(value) for value in q / np.linalg.norm(q))
    return _make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def _pose(x: float, y: float, yaw: float) -> Any:
    position = _make("geometry_msgs/msg/Point", x=x, y=y, z=0.0)
    return _make("geometry_msgs/msg/Pose", position=position, orientation=quaternion(0.0, 0.0, yaw))


def _vector(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Any:
    return _make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)
