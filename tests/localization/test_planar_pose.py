# SPDX-License-Identifier: Apache-2.0
"""Poses on the plane of a datum, against what spherical trigonometry says, and in the 6x6 covariance of ROS."""

import math

import numpy as np
import pytest

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import (
    GeoPose,
    UnmeasuredSigmas,
    convergence_rad,
    covariance_36,
    geo_pose,
    planar_pose,
)
from geodistill_core.types import GeoPoint

P = np.diag([0.25, 0.36, 0.01]) + 0.02 * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("latitude", [60.0, 47.5, -33.9])
def test_north_turns_by_the_longitude_times_the_sine_of_the_latitude(latitude):
    """Meridians meet at the pole: on the northern half, north east of the datum points to the west of the datum's."""
    turn = convergence_rad(LocalFrame(GeoPoint(latitude, 8.0)), GeoPoint(latitude, 8.1))
    assert turn == pytest.approx(math.radians(0.1) * math.sin(math.radians(latitude)), rel=2e-3)


def test_ros_reads_x_y_and_yaw_at_rows_0_1_and_5():
    full = np.asarray(covariance_36(P, UnmeasuredSigmas(3.0, 0.4, 0.5))).reshape(6, 6)
    assert full.diagonal() == pytest.approx([0.25, 0.36, 9.0, 0.16, 0.25, 0.01])
    assert full[0, 1] == full[1, 0] == pytest.approx(0.02)
    assert np.count_nonzero(full - np.diag(full.diagonal())) == 2


def test_a_pose_goes_to_the_plane_and_back():
    datum = LocalFrame(GeoPoint(48.0, 11.0))
    pose = GeoPose(48.3, 11.4, 1.2, P)
    back = geo_pose(planar_pose(pose, datum), datum)
    assert (back.latitude, back.longitude, back.yaw_enu_rad) == pytest.approx((48.3, 11.4, 1.2), abs=1e-9)
    assert back.covariance == pytest.approx(P)
