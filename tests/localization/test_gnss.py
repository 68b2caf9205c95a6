# SPDX-License-Identifier: Apache-2.0
"""Which fixes are believed, with which sigma."""

import math

import numpy as np
import pytest

from geodistill_core.localization.gnss import FixReading, check_fix

GOOD = {
    "stamp_ns": 5,
    "status": 0,
    "latitude": 48.7,
    "longitude": 9.1,
    "covariance": [64.0, 0, 0, 0, 64.0, 0, 0, 0, 100.0],
    "covariance_type": 2,
}


def check(**change):
    return check_fix(**{**GOOD, **change})


def test_an_ordinary_fix_keeps_position_stamp_and_stated_sigma():
    assert check() == FixReading(5, 48.7, 9.1, 8.0, "stated")


@pytest.mark.parametrize("status", [0, 1, 2])
def test_every_kind_of_fix_is_accepted(status):
    assert isinstance(check(status=status), FixReading)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": -1}, "no_fix"),
        ({"status": -2}, "no_fix"),
        ({"stamp_ns": 0}, "stamp_zero"),
        ({"latitude": math.nan}, "nan"),
        ({"longitude": math.inf}, "nan"),
        ({"latitude": 90.001}, "out_of_range"),
        ({"longitude": -180.5}, "out_of_range"),
        ({"latitude": 0.0, "longitude": 0.0}, "null_island"),
        ({"latitude": 0.0, "longitude": -0.0}, "null_island"),
        ({"covariance": [1e6, 0, 0, 0, 1.0, 0, 0, 0, 1]}, "imprecise"),
        ({"status": -1, "latitude": math.nan}, "no_fix"),
    ],
)
def test_unusable_fixes_are_refused_by_name(change, reason):
    assert check(**change) == reason


def test_the_equator_and_the_prime_meridian_are_places():
    assert isinstance(check(latitude=0.0, longitude=9.1), FixReading)
    assert isinstance(check(latitude=51.5, longitude=0.0), FixReading)


@pytest.mark.parametrize(
    "change",
    [
        {"covariance_type": 0},
        {"covariance": [0.0] * 9},
        {"covariance": [-1.0, 0, 0, 0, 4.0, 0, 0, 0, 4.0]},
        {"covariance": [math.nan, 0, 0, 0, 4.0, 0, 0, 0, 4.0]},
        {"covariance": [math.inf, 0, 0, 0, 4.0, 0, 0, 0, 4.0]},
        {"covariance": [1.0, 5.0, 0, 5.0, 1.0, 0, 0, 0, 4.0]},
        {"covariance": []},
    ],
)
def test_a_covariance_that_is_none_gives_the_default_sigma_and_says_so(change):
    fix = check(default_sigma_m=12.5, **change)
    assert fix.sigma_m == 12.5
    assert fix.sigma_source == "default"


@pytest.mark.parametrize("angle_deg", [0, 30, 90, 137])
def test_sigma_is_the_long_axis_of_the_ellipse_in_any_direction(angle_deg):
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    covariance = rotation @ np.diag([9.0, 1.0, 4.0]) @ rotation.T
    assert check(covariance=covariance.reshape(-1), covariance_type=3).sigma_m == pytest.approx(3.0)


def test_inflation_scales_and_a_centimetre_fix_has_a_floor():
    assert check(inflation=1.5).sigma_m == pytest.approx(12.0)
    assert check(covariance=[1e-6, 0, 0, 0, 1e-6, 0, 0, 0, 1e-6]).sigma_m == pytest.approx(0.1)
