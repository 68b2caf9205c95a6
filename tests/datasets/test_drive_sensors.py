# SPDX-License-Identifier: Apache-2.0
"""Statistics of the simulated sensors, over many drives."""

import math

import numpy as np
import pytest

from geodistill_core.datasets.synthcity.sensors import (
    SUITES,
    gauss_markov,
    gnss_error,
    heading_error,
    odometry,
    tilt_error,
)

SECONDS = np.arange(0.0, 34.0, 0.2)
DRIVES = 300


def gnss_errors(level):
    return [gnss_error(SUITES[level].gnss, np.random.default_rng(k), SECONDS) for k in range(DRIVES)]


@pytest.mark.parametrize("level", SUITES)
def test_the_stated_gnss_sigma_is_honest_per_axis_over_many_drives(level):
    square = np.mean([error**2 for error, _ in gnss_errors(level)], axis=(0, 1))
    assert np.sqrt(square) == pytest.approx(SUITES[level].gnss.stated_sigma_m, rel=0.12)


def test_standard_drives_are_off_by_more_than_four_metres_and_never_by_more_than_twenty():
    lengths = [np.hypot(*error.T) for error, _ in gnss_errors("standard")]
    medians = np.array([np.median(length) for length in lengths])
    assert np.mean(medians >= 4.0) > 0.98
    assert 8.0 < np.median(medians) < 12.0
    assert max(length.max() for length in lengths) <= 20.0 + 1e-9


def test_gnss_error_is_mostly_a_slow_bias_that_averaging_does_not_remove():
    within = np.mean([error.std(axis=0) ** 2 for error, _ in gnss_errors("standard")])
    whole = np.mean([error**2 for error, _ in gnss_errors("standard")])
    assert within < 0.25 * whole


def test_hard_receivers_lose_their_fix_and_easy_ones_do_not():
    lost = {level: np.mean([~available for _, available in gnss_errors(level)]) for level in SUITES}
    assert lost["easy"] == 0.0 and 0.0 < lost["standard"] < 0.05 < lost["hard"] < 0.4


@pytest.mark.parametrize("level", SUITES)
def test_the_stated_heading_sigma_is_honest_and_the_clip_holds(level):
    model = SUITES[level].compass
    errors = np.degrees([heading_error(model, np.random.default_rng(k), SECONDS) for k in range(DRIVES)])
    assert np.sqrt((errors**2).mean()) == pytest.approx(model.stated_sigma_deg, rel=0.15)
    assert np.abs(errors).max() <= model.clip_deg + 1e-9


def test_roll_and_pitch_err_by_their_sigma():
    errors = np.degrees([tilt_error(0.4, np.random.default_rng(k), 50) for k in range(400)])
    assert np.sqrt((errors**2).mean(axis=(0, 1))) == pytest.approx([0.4, 0.4], rel=0.1)
    assert (tilt_error(0.0, np.random.default_rng(0), 5) == 0).all()


def test_odometry_drifts_by_about_a_percent_of_the_way():
    model, way = SUITES["standard"].odometry, []
    for k in range(400):
        speed, _ = odometry(model, np.random.default_rng(k), np.full(600, 8.0), np.zeros(600))
        way.append(speed.sum() / 4800.0 - 1.0)
    assert np.std(way) == pytest.approx(0.01, rel=0.15)


def test_a_gauss_markov_process_has_its_sigma_and_correlation_time():
    seconds = np.arange(0.0, 60.0, 0.5)
    values = gauss_markov(np.random.default_rng(1), seconds, 3.0, 10.0, 4000)
    assert values.std(axis=1) == pytest.approx(np.full(120, 3.0), rel=0.06)
    lag = 20  # one correlation time
    correlation = np.mean(values[40] * values[40 + lag]) / 9.0
    assert correlation == pytest.approx(math.exp(-1.0), abs=0.06)


def test_the_same_generator_gives_the_same_errors():
    for level in SUITES:
        first, second = (gnss_error(SUITES[level].gnss, np.random.default_rng(9), SECONDS) for _ in range(2))
        np.testing.assert_array_equal(first[0], second[0])
