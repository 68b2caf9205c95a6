# SPDX-License-Identifier: Apache-2.0
"""Estimates to ROS messages. Every message carries the image's stamp; the map frame is ENU at the datum."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image, NavSatFix, NavSatStatus
from std_msgs.msg import Header

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import CovarianceError, UnmeasuredSigmas, convergence_rad, planar_pose
from geodistill_core.localization.planar_pose import covariance_36 as full_covariance
from geodistill_core.types import Array, Estimate, GeoPoint
from geodistill_ros.parameters import NodeParameters

__all__ = [
    "CovarianceError",
    "convergence_rad",
    "covariance_36",
    "datum_message",
    "fix_message",
    "header_of",
    "heatmap_message",
    "image_message",
    "planar_pose",
    "pose_message",
]


def covariance_36(planar: Array, settings: NodeParameters) -> list[float]:
    """`planar_pose.covariance_36` with the configured sigmas of z, roll and pitch; raises CovarianceError."""
    roll_rad, pitch_rad = math.radians(settings.sigma_roll_deg), math.radians(settings.sigma_pitch_deg)
    return full_covariance(planar, UnmeasuredSigmas(settings.sigma_z_m, roll_rad, pitch_rad))


def header_of(stamp_ns: int, frame_id: str) -> Header:
    """A header at `stamp_ns`."""
    stamp = Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)
    return Header(stamp=stamp, frame_id=frame_id)


def pose_message(estimate: Estimate, datum: LocalFrame, settings: NodeParameters) -> PoseWithCovarianceStamped:
    """Pose of the base in the map frame (z = 0, level); raises CovarianceError."""
    pose = planar_pose(estimate, datum)
    message = PoseWithCovarianceStamped(header=header_of(estimate.stamp_ns, settings.map_frame))
    message.pose.pose.position.x = pose.east_m
    message.pose.pose.position.y = pose.north_m
    message.pose.pose.orientation.z = math.sin(pose.yaw_rad / 2)
    message.pose.pose.orientation.w = math.cos(pose.yaw_rad / 2)
    message.pose.covariance = covariance_36(pose.covariance, settings)
    return message


def fix_message(estimate: Estimate, settings: NodeParameters) -> NavSatFix:
    """The position on the ellipsoid (altitude 0) with its covariance; raises CovarianceError."""
    P = np.asarray(covariance_36(np.asarray(estimate.covariance), settings)).reshape(6, 6)
    message = _nav_sat(estimate.point, header_of(estimate.stamp_ns, settings.base_frame))
    message.position_covariance = [float(value) for value in P[:3, :3].ravel()]
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


def _nav_sat(point: GeoPoint, header: Header) -> NavSatFix:
    message = NavSatFix(header=header, latitude=point.latitude, longitude=point.longitude, altitude=0.0)
    message.status.status = NavSatStatus.STATUS_FIX
    message.status.service = NavSatStatus.SERVICE_GPS
    return message
