# SPDX-License-Identifier: Apache-2.0
"""Estimates to ROS messages. Every message carries the image's stamp; the map frame is ENU at the datum."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseWithCovariance, PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from sensor_msgs.msg import Image, NavSatFix, NavSatStatus
from std_msgs.msg import Header

from geodistill_core.bags.messages import euler, unit_quaternion
from geodistill_core.errors import ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import (
    PLANAR,
    CovarianceError,
    PlanarPose,
    Posed,
    UnmeasuredSigmas,
    convergence_rad,
    geo_pose,
    planar_pose,
)
from geodistill_core.localization.planar_pose import covariance_36 as full_covariance
from geodistill_core.tracking.pose import TrackedPose
from geodistill_core.types import Array, Estimate, GeoPoint, Prior
from geodistill_ros.parameters import NodeParameters

__all__ = [
    "CovarianceError",
    "TwistSigmas",
    "convergence_rad",
    "covariance_36",
    "datum_message",
    "fix_message",
    "header_of",
    "heatmap_message",
    "image_message",
    "odometry_message",
    "planar_pose",
    "pose_message",
    "prior_of",
]


def covariance_36(planar: Array, settings: NodeParameters) -> list[float]:
    """`planar_pose.covariance_36` with the configured sigmas of z, roll and pitch; raises CovarianceError."""
    return full_covariance(planar, UnmeasuredSigmas(settings.sigma_z_m, *_tilt_sigmas(settings)))


def header_of(stamp_ns: int, frame_id: str) -> Header:
    """A header at `stamp_ns`."""
    stamp = Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)
    return Header(stamp=stamp, frame_id=frame_id)


class StampedPose(Posed, Protocol):
    """A pose on earth at a time."""

    @property
    def stamp_ns(self) -> int: ...


def pose_message(pose: StampedPose, datum: LocalFrame, settings: NodeParameters) -> PoseWithCovarianceStamped:
    """Pose of the base in the map frame (z = 0, level); raises CovarianceError."""
    message = PoseWithCovarianceStamped(header=header_of(pose.stamp_ns, settings.map_frame))
    _place(message.pose, planar_pose(pose, datum), settings)
    return message


@dataclass(frozen=True, slots=True)
class TwistSigmas:
    """Standard deviations of forward speed and yaw rate; nothing slips sideways but for `sideways_mps`."""

    forward_mps: float = 0.5
    yaw_rate_radps: float = 0.05
    sideways_mps: float = 0.1

    @staticmethod
    def stated(covariance: Sequence[float]) -> TwistSigmas:
        """Those of an odometry message's 6x6 twist covariance; the defaults where it states none."""
        found = TwistSigmas()
        forward, yaw_rate = float(covariance[0]), float(covariance[35])
        return TwistSigmas(
            math.sqrt(forward) if 0.0 < forward < math.inf else found.forward_mps,
            math.sqrt(yaw_rate) if 0.0 < yaw_rate < math.inf else found.yaw_rate_radps,
        )


def odometry_message(pose: TrackedPose, datum: LocalFrame, settings: NodeParameters, sigmas: TwistSigmas) -> Odometry:
    """Pose in the map frame and twist in the base's, at the pose's time; raises CovarianceError."""
    message = Odometry(header=header_of(pose.stamp_ns, settings.map_frame), child_frame_id=settings.base_frame)
    _place(message.pose, planar_pose(pose, datum), settings)
    message.twist.twist.linear.x = pose.speed_mps
    message.twist.twist.angular.z = pose.yaw_rate_radps
    unmeasured = np.array([0.0, sigmas.sideways_mps, settings.sigma_z_m, *_tilt_sigmas(settings), 0.0])
    measured = np.array([sigmas.forward_mps, 0.0, 0.0, 0.0, 0.0, sigmas.yaw_rate_radps])
    message.twist.covariance = [float(value) for value in np.diag(np.square(unmeasured + measured)).ravel()]
    return message


def prior_of(message: PoseWithCovarianceStamped, datum: LocalFrame, settings: NodeParameters) -> Prior:
    """A pose that somebody states in the map frame; raises ConfigError where it cannot serve as a prior."""
    if message.header.frame_id != settings.map_frame:
        raise ConfigError(f"the pose is in {message.header.frame_id!r}; state it in {settings.map_frame!r}")
    quaternion, position = unit_quaternion(message.pose.pose.orientation), message.pose.pose.position
    covariance = np.asarray(message.pose.covariance, np.float64).reshape(6, 6)[PLANAR]
    values = np.array([position.x, position.y, *covariance.ravel()])
    if quaternion is None or not np.isfinite(values).all() or not np.all(np.diag(covariance) > 0.0):
        raise ConfigError("the pose needs finite numbers, a unit quaternion, and variances of x, y and yaw above 0")
    found = geo_pose(PlanarPose(position.x, position.y, euler(*quaternion)[2], covariance), datum)
    sigma_m = math.sqrt(float(np.linalg.eigvalsh(found.covariance[:2, :2])[-1]))
    sigma_yaw = min(math.sqrt(float(found.covariance[2, 2])), math.pi)
    return Prior(found.latitude, found.longitude, sigma_m, found.yaw_enu_rad, sigma_yaw)


def fix_message(pose: StampedPose, settings: NodeParameters) -> NavSatFix:
    """The position on the ellipsoid (altitude 0) with its covariance; raises CovarianceError."""
    P = np.asarray(covariance_36(np.asarray(pose.covariance), settings)).reshape(6, 6)
    point = GeoPoint(pose.latitude, pose.longitude)
    message = _nav_sat(point, header_of(pose.stamp_ns, settings.base_frame))
    message.position_covariance = P[:3, :3].ravel().tolist()
    message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_KNOWN
    return message


def datum_message(datum: GeoPoint, stamp_ns: int, settings: NodeParameters) -> NavSatFix:
    """Origin of the map frame."""
    return _nav_sat(datum, header_of(stamp_ns, settings.map_frame))


def image_message(rgb: Array, stamp_ns: int, frame_id: str) -> Image:
    """`rgb8` image of an H x W x 3 uint8 array."""
    height, width, _ = rgb.shape
    message = Image(header=header_of(stamp_ns, frame_id), height=height, width=width, encoding="rgb8")
    message.step = width * 3
    # rclpy takes array('B') and bytes quickly; an ndarray of this size would take half a second.
    message.data = array.array("B", np.ascontiguousarray(rgb).tobytes())
    return message


def heatmap_message(estimate: Estimate, datum: LocalFrame, settings: NodeParameters) -> OccupancyGrid:
    """Position marginal as occupancy 0..100 (100 = the most probable cell), placed in the map frame."""
    heatmap = estimate.heatmap
    position = heatmap.position()
    height, width = position.shape
    turn = convergence_rad(datum, heatmap.center)
    center_east, center_north = datum.to_enu(heatmap.center.latitude, heatmap.center.longitude)
    corner_x, corner_y = -width / 2 * heatmap.metres_per_cell, -height / 2 * heatmap.metres_per_cell
    c, s = math.cos(turn), math.sin(turn)
    message = OccupancyGrid(header=header_of(estimate.stamp_ns, settings.map_frame))
    message.info.map_load_time = message.header.stamp
    message.info.resolution = heatmap.metres_per_cell
    message.info.width, message.info.height = width, height
    message.info.origin.position.x = float(center_east + c * corner_x - s * corner_y)
    message.info.origin.position.y = float(center_north + s * corner_x + c * corner_y)
    message.info.origin.orientation.z = math.sin(turn / 2)
    message.info.origin.orientation.w = math.cos(turn / 2)
    percent = np.rint(position / position.max() * 100.0).astype(np.int8)
    message.data = array.array("b", percent[::-1].tobytes())  # row 0 is the southernmost
    return message


def _place(message: PoseWithCovariance, pose: PlanarPose, settings: NodeParameters) -> None:
    """Fill in a planar pose; raises CovarianceError."""
    message.pose.position.x, message.pose.position.y = pose.east_m, pose.north_m
    message.pose.orientation.z = math.sin(pose.yaw_rad / 2)
    message.pose.orientation.w = math.cos(pose.yaw_rad / 2)
    message.covariance = covariance_36(pose.covariance, settings)


def _tilt_sigmas(settings: NodeParameters) -> tuple[float, float]:
    return math.radians(settings.sigma_roll_deg), math.radians(settings.sigma_pitch_deg)


def _nav_sat(point: GeoPoint, header: Header) -> NavSatFix:
    message = NavSatFix(header=header, latitude=point.latitude, longitude=point.longitude, altitude=0.0)
    message.status.status = NavSatStatus.STATUS_FIX
    message.status.service = NavSatStatus.SERVICE_GPS
    return message
