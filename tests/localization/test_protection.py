# SPDX-License-Identifier: Apache-2.0
"""Protection levels along the vehicle's axes."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from geodistill_core.errors import ConfigError
from geodistill_core.localization.protection import axis_sigmas_m, normal_factor, protection_level
from geodistill_core.models.manifest import Calibration


def calibration(**fields):
    return Calibration(temperature=1.0, samples=1, fitted_on="here", nll_before=0.0, nll_after=0.0, **fields)


@pytest.mark.parametrize("yaw", [0.0, 0.4, math.pi / 2, -3.0])
def test_sigmas_turn_with_the_vehicle(yaw):
    c, s = math.cos(yaw), math.sin(yaw)
    R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    ahead_3_left_half = R @ np.diag([9.0, 0.25, 1e-4]) @ R.T
    assert axis_sigmas_m(ahead_3_left_half, yaw) == pytest.approx((0.5, 3.0))


def test_the_level_is_sigma_times_the_factor_of_its_axis():
    level = protection_level(
        np.diag([9.0, 0.25, 1e-4]), 0.0, calibration(protection_lateral=4.0, protection_longitudinal=2.0, risk=0.05)
    )
    assert (level.lateral_m, level.longitudinal_m, level.risk) == (2.0, 6.0, 0.05)


@pytest.mark.parametrize("factors", [None, calibration()])
def test_without_measured_factors_errors_count_as_normal(factors):
    level = protection_level(np.eye(3), 0.0, factors)
    assert level.lateral_m == level.longitudinal_m == pytest.approx(norm.ppf(0.995))
    assert level.risk == 0.01


@pytest.mark.parametrize("risk", [0.5, 0.01, 1e-7])
def test_the_normal_factor_is_passed_to_both_sides_together_with_the_risk(risk):
    assert normal_factor(risk) == pytest.approx(norm.isf(risk / 2))


@pytest.mark.parametrize("risk", [0.0, 1.0, -0.1, math.nan])
def test_a_risk_that_is_no_probability_is_refused(risk):
    with pytest.raises(ConfigError, match="outside"):
        normal_factor(risk)
