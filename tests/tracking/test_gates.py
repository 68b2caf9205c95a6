# SPDX-License-Identifier: Apache-2.0
"""Gates: their false-alarm rate by Monte-Carlo, their order of magnitude against scipy, their hysteresis."""

import math

import numpy as np
import pytest
from scipy import stats

from geodistill_core.tracking.gates import CHI_SQ_99, CHI_SQ_999, PhysicalLimits, Separation, mahalanobis_sq, passes


@pytest.mark.parametrize(("table", "level"), [(CHI_SQ_99, 0.99), (CHI_SQ_999, 0.999)])
@pytest.mark.parametrize("dof", [1, 2, 3])
def test_quantiles_are_those_of_chi_square(table, level, dof):
    assert table[dof] == pytest.approx(stats.chi2.ppf(level, dof), rel=1e-4)


def test_a_gate_of_99_percent_refuses_one_percent_of_what_its_covariance_explains():
    """The squared distance is compared: with its root, none would be refused."""
    rng = np.random.default_rng(3)
    A = rng.normal(size=(3, 3))
    P = A @ A.T + 0.1 * np.eye(3)
    drawn = rng.multivariate_normal(np.zeros(3), P, 20_000)
    refused = np.mean([not passes(mahalanobis_sq(x, P), CHI_SQ_99[3]) for x in drawn])
    four_sigma = 4.0 * math.sqrt(0.01 * 0.99 / len(drawn))
    assert abs(refused - 0.01) < four_sigma


def test_a_distance_that_cannot_be_computed_is_infinite():
    assert mahalanobis_sq(np.array([math.nan, 0.0]), np.eye(2)) == math.inf
    assert mahalanobis_sq(np.array([1.0, 0.0]), np.diag([1.0, -1.0])) == math.inf
    assert mahalanobis_sq(np.array([3.0, 4.0]), 25.0 * np.eye(2)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("moved_m", "turned_rad", "elapsed_s", "allowed"),
    [
        (62.0, 0.0, 1.0, True),
        (64.0, 0.0, 1.0, False),
        (0.0, 1.5, 1.0, True),
        (0.0, 1.8, 1.0, False),
        (0.0, 2 * math.pi - 0.1, 0.1, True),
        (1.0, 0.0, -0.01, False),
        (math.nan, 0.0, 1.0, False),
    ],
)
def test_what_a_vehicle_can_do_is_bounded_by_speed_and_yaw_rate(moved_m, turned_rad, elapsed_s, allowed):
    assert PhysicalLimits().allow(moved_m, turned_rad, elapsed_s) is allowed


def test_a_separation_is_suspect_only_once_it_lasted_and_clears_only_once_it_rested():
    separation = Separation("GNSS", CHI_SQ_999[2], 1.0)
    far, near, P = np.array([10.0, 0.0]), np.array([1.0, 0.0]), np.eye(2)
    second = 1_000_000_000
    for at, offset, suspect in (
        (0.0, far, False), (0.9, far, False), (0.95, near, False), (1.0, far, False), (1.9, far, False),
        (2.0, far, True), (2.5, near, True), (3.0, far, True), (3.1, near, True), (4.0, near, True), (4.1, near, False),
    ):  # fmt: skip
        separation.judge(offset, P, round(at * second))
        assert separation.suspect is suspect, at
    assert separation.sentence() == ""


def test_a_suspect_separation_says_who_disagrees_by_how_much():
    separation = Separation("GNSS", CHI_SQ_999[2], 0.5)
    for at in (0, 1_000_000_000):
        separation.judge(np.array([10.0, 0.0]), np.eye(2), at)
    assert separation.sentence() == "GNSS disagrees with the track: squared distance 100.0, limit 13.8"
