# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.angles import bearing_from_yaw, circular_mean, wrap, yaw_from_bearing

angles = st.floats(-1e4, 1e4)


@given(st.one_of(angles, st.sampled_from([math.pi, -math.pi, np.nextafter(-math.pi, -4), -1e-17])))
def test_wrapped_angle_is_in_the_half_open_circle_and_points_the_same_way(angle):
    wrapped = wrap(angle)
    assert type(wrapped) is float and -math.pi <= wrapped < math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)


@given(st.lists(st.one_of(angles, st.sampled_from([math.pi, -1e-17, math.inf, math.nan])), min_size=1))
def test_arrays_wrap_as_floats_do(values):
    np.testing.assert_array_equal(wrap(np.array(values)), [wrap(value) for value in values])
    assert {type(wrap(value)) for value in values} == {float}


@given(angles)
def test_bearing_and_yaw_name_the_same_unit_vector(bearing):
    yaw = yaw_from_bearing(bearing)
    assert (math.cos(yaw), math.sin(yaw)) == pytest.approx((math.sin(bearing), math.cos(bearing)), abs=1e-9)
    assert wrap(bearing_from_yaw(yaw) - bearing) == pytest.approx(0.0, abs=1e-9)


def test_compass_points_have_the_yaws_of_rep_103():
    north_east_south_west = np.radians([0.0, 90.0, 180.0, 270.0])
    expected = [math.pi / 2, 0.0, -math.pi / 2, -math.pi]
    assert np.cos(yaw_from_bearing(north_east_south_west) - expected) == pytest.approx([1.0] * 4)


@given(angles, st.lists(st.floats(0.0, 1.2), min_size=1, max_size=8))
def test_mean_of_symmetric_deviations_is_their_axis_on_every_side_of_the_seam(axis, deviations):
    samples = [axis + d for d in deviations] + [axis - d for d in deviations]
    assert wrap(circular_mean(samples) - axis) == pytest.approx(0.0, abs=1e-9)


def test_weights_pull_the_mean():
    assert circular_mean([0.0, math.pi / 2], [1.0, 0.0]) == pytest.approx(0.0)
    assert circular_mean([0.0, math.pi / 2], [1.0, 3.0]) == pytest.approx(math.atan2(3.0, 1.0))


@pytest.mark.parametrize("samples", [[], [0.0, math.pi], [0.0, 2 * math.pi / 3, 4 * math.pi / 3]])
def test_angles_without_a_mean_direction_are_refused(samples):
    with pytest.raises(ConfigError):
        circular_mean(samples)
