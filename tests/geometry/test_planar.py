# SPDX-License-Identifier: Apache-2.0
"""Rigid motions of the plane against homogeneous matrices."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodistill_core.geometry.planar import Planar, map_from_odom

metres = st.floats(-1e4, 1e4)
motions = st.builds(Planar, metres, metres, st.floats(-math.pi, math.pi))


def matrix(motion):
    c, s = math.cos(motion.yaw_rad), math.sin(motion.yaw_rad)
    return np.array([[c, -s, motion.x_m], [s, c, motion.y_m], [0.0, 0.0, 1.0]])


@given(motions, motions)
def test_composition_is_the_product_of_matrices(first, second):
    np.testing.assert_allclose(matrix(first @ second), matrix(first) @ matrix(second), atol=1e-8)
    assert -math.pi <= (first @ second).yaw_rad < math.pi


@given(motions)
def test_inverse_undoes_the_motion(motion):
    np.testing.assert_allclose(matrix(motion.inverse) @ matrix(motion), np.eye(3), atol=1e-8)


@given(motions, motions)
def test_map_from_odom_carries_the_odometrys_base_onto_the_maps(map_base, odom_base):
    carried = map_from_odom(map_base, odom_base) @ odom_base
    np.testing.assert_allclose(matrix(carried), matrix(map_base), atol=1e-7)


def test_a_vehicle_that_turned_left_lies_where_it_should():
    """In odom it drove 10 m and turned left; in map that began at (100, 50), northwards."""
    odom_base = Planar(10.0, 0.0, math.pi / 2)
    map_base = Planar(100.0, 60.0, -math.pi)
    found = map_from_odom(map_base, odom_base)
    assert (found.x_m, found.y_m, found.yaw_rad) == pytest.approx((100.0, 50.0, math.pi / 2))


def test_half_way_takes_the_shorter_arc():
    found = Planar(0.0, 0.0, math.radians(170)).towards(Planar(2.0, 4.0, math.radians(-170)), 0.5)
    assert (found.x_m, found.y_m, abs(found.yaw_rad)) == pytest.approx((1.0, 2.0, math.pi))
