# SPDX-License-Identifier: Apache-2.0
"""Poses on the tangent plane of a datum, as ROS publishes them: east, north, yaw, and a 6x6 covariance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.geometry.vectors import Number, unbox
from geodistill_core.types import Array, GeoPoint

_NORTH_STEP_DEG = 1e-4
# x, y and rotation about z in the 6x6 covariance of a ROS pose
PLANAR = np.ix_((0, 1, 5), (0, 1, 5))


class CovarianceError(ValueError):
    """A covariance that is not finite, symmetric and positive definite; the frame must not be published."""


class Posed(Protocol):
    """Anything with a pose on earth: WGS-84 degrees, yaw and 3x3 covariance (east m, north m, yaw rad) in ENU there."""

    @property
    def latitude(self) -> float: ...  # noqa: D102
    @property
    def longitude(self) -> float: ...  # noqa: D102
    @property
    def yaw_enu_rad(self) -> float: ...  # noqa: D102
    @property
    def covariance(self) -> Array: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class GeoPose:
    """A pose on earth, see `Posed`."""

    latitude: float
    longitude: float
    yaw_enu_rad: float
    covariance: Array


@dataclass(frozen=True, slots=True)
class PlanarPose:
    """Position and yaw in the datum's ENU frame, with their covariance (3x3: east m, north m, yaw rad)."""

    east_m: float
    north_m: float
    yaw_rad: float
    covariance: Array


@dataclass(frozen=True, slots=True)
class UnmeasuredSigmas:
    """Published standard deviations of what a planar estimate does not measure."""

    z_m: float = 100.0
    roll_rad: float = math.radians(30.0)
    pitch_rad: float = math.radians(30.0)


def convergence_rad(datum: LocalFrame, point: GeoPoint) -> float:
    """Angle from the datum's north to the north at `point`, counter-clockwise (their planes differ)."""
    return placed(datum, point.latitude, point.longitude)[2]


def placed(datum: LocalFrame, latitude: Number, longitude: Number) -> tuple[Number, Number, Number]:
    """Metres east and north of the datum, and the convergence in radians, of points in degrees."""
    # towards the equator, so that the step never crosses a pole
    sign = 1 - 2 * (latitude > 0.0)
    east, north = datum.to_enu(latitude, longitude)
    stepped_east, stepped_north = datum.to_enu(latitude + sign * _NORTH_STEP_DEG, longitude)
    return east, north, unbox(np.arctan2(-sign * (stepped_east - east), sign * (stepped_north - north)))


def planar_pose(pose: Posed, datum: LocalFrame) -> PlanarPose:
    """The pose in the datum's frame; yaw and covariance turn with the meridians' convergence."""
    east_m, north_m, turn = placed(datum, pose.latitude, pose.longitude)
    return PlanarPose(east_m, north_m, pose.yaw_enu_rad + turn, _turned(pose.covariance, turn))


def geo_pose(pose: PlanarPose, datum: LocalFrame) -> GeoPose:
    """The inverse of `planar_pose`; yaw comes back in [-pi, pi). Raises ConfigError beyond 1000 km."""
    point = datum.point(pose.east_m, pose.north_m)
    turn = convergence_rad(datum, point)
    return GeoPose(point.latitude, point.longitude, float(wrap(pose.yaw_rad - turn)), _turned(pose.covariance, -turn))


def covariance_36(planar: Array, unmeasured: UnmeasuredSigmas) -> list[float]:
    """6x6 row-major (x, y, z, roll, pitch, yaw) around a 3x3 (x, y, yaw); raises CovarianceError.

    z, roll and pitch are not measured: they get the stated sigma, and exactly zero cross terms.
    """
    P = np.zeros((6, 6))
    P[PLANAR] = (planar + planar.T) / 2
    P[2, 2] = unmeasured.z_m**2
    P[3, 3] = unmeasured.roll_rad**2
    P[4, 4] = unmeasured.pitch_rad**2
    if not np.isfinite(P).all():
        raise CovarianceError(f"covariance {planar.tolist()} is not finite")
    try:
        np.linalg.cholesky(P)
    except np.linalg.LinAlgError:
        raise CovarianceError(f"covariance {planar.tolist()} is not positive definite") from None
    return P.ravel().tolist()


def _turned(covariance: Array, turn_rad: float) -> Array:
    c, s = math.cos(turn_rad), math.sin(turn_rad)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(R @ np.asarray(covariance, dtype=np.float64) @ R.T)
