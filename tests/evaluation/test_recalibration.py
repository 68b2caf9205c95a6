# SPDX-License-Identifier: Apache-2.0
"""A fitted calibration, by Monte Carlo of sources whose overconfidence is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm, t
from simulated import ORIGIN, truth_at

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.evaluation.recalibration.fit import check_samples, fit_calibration, recalibrate
from geodistill_core.evaluation.recalibration.held import HeldFrame, frame_results
from geodistill_core.evaluation.recalibration.scales import (
    LARGEST_SIGMAS,
    fit_scale,
    least_samples,
    protection_factor,
    winsorised_mean_square,
)
from geodistill_core.localization import EstimateConfig
from geodistill_core.types import HeatMap, Prior

SIGMA_M, SIGMA_RAD = 1.5, math.radians(4.0)
PRIOR = Prior(ORIGIN.latitude, ORIGIN.longitude, 8.0, 0.0, 0.2)
CONFIG = EstimateConfig()


def gaussian_grid():
    """Logarithms of a heat map of the sigmas above about the origin and a heading of 0, at temperature 1."""
    axis = (np.arange(40) + 0.5 - 20) * 0.5
    yaw = math.radians(3.0) * np.arange(-6, 7)
    square = (axis[None, None, :] ** 2 + axis[None, :, None] ** 2) / SIGMA_M**2 + (yaw[:, None, None] / SIGMA_RAD) ** 2
    return HeatMap((-0.5 * square).astype(np.float32), ORIGIN, 0.5, yaw)


def frames(count, across=1.0, along=1.0, yaw=1.0, seed=3):
    """Frames of a vehicle heading east whose errors are these multiples of what the heat map claims."""
    rng, grid = np.random.default_rng(seed), gaussian_grid()
    errors = rng.normal(size=(count, 3)) * [along * SIGMA_M, across * SIGMA_M, yaw * SIGMA_RAD]
    return [HeldFrame(grid, PRIOR, truth_at(*error), flat=True) for error in errors]


def sigma_factors(calibration):
    """Factors on the sigmas of the heat map that temperature and scale make together."""
    root = math.sqrt(calibration.temperature)
    return [root * s for s in (calibration.scale_across, calibration.scale_along, calibration.scale_yaw)]


def within_4_sigma(expected, count):
    # the relative standard error of a standard deviation
    return pytest.approx(expected, rel=4 / math.sqrt(2 * count))


def test_a_calibrated_source_keeps_its_temperature_and_scales():
    found = fit_calibration(frames(400), "nowhere")
    assert found.temperature == pytest.approx(1.0, rel=4 * math.sqrt(2 / (3 * 400)))
    assert sigma_factors(found) == [within_4_sigma(1.0, 400)] * 3


def test_an_overconfident_source_gets_its_factor_as_temperature():
    found = fit_calibration(frames(400, 1.4, 1.4, 1.4), "nowhere")
    assert found.temperature == pytest.approx(1.96, rel=4 * math.sqrt(2 / (3 * 400)))
    assert (found.scale_across, found.scale_along) == (pytest.approx(1.0, rel=0.12), pytest.approx(1.0, rel=0.12))


def test_each_axis_gets_its_own_factor():
    found = fit_calibration(frames(400, across=0.6, along=1.7, yaw=1.0), "nowhere")
    assert sigma_factors(found) == [within_4_sigma(f, 400) for f in (0.6, 1.7, 1.0)]


def test_the_axes_are_the_vehicles_and_not_those_of_the_map():
    turned = []
    for frame in frames(400, across=0.6, along=1.7):
        yaw = frame.log_likelihood.yaw_enu_rad + math.pi / 2
        truth = frame.truth
        east_m, north_m = ((truth.longitude - ORIGIN.longitude), (truth.latitude - ORIGIN.latitude))
        scale = math.cos(math.radians(ORIGIN.latitude))
        swapped = replace(
            truth,
            latitude=ORIGIN.latitude + east_m * scale,
            longitude=ORIGIN.longitude - north_m / scale,
            yaw_enu_rad=truth.yaw_enu_rad + math.pi / 2,
        )
        turned.append(replace(frame, log_likelihood=replace(frame.log_likelihood, yaw_enu_rad=yaw), truth=swapped))
    across, along, _ = sigma_factors(fit_calibration(turned, "nowhere"))
    assert (across, along) == (within_4_sigma(0.6, 400), within_4_sigma(1.7, 400))


def test_a_calibration_makes_nees_and_coverage_right_where_it_was_not_fitted():
    made = recalibrate(frames(700, 1.5, 2.0, 1.2), "nowhere", date="2026-11-22", before=None)
    low, high = made.held_out["nees"]["bounds"]
    assert low < made.held_out["nees"]["mean"] < high
    inside = made.held_out["coverage_bounds"]["0.95"]
    assert inside[0] - 0.02 <= made.held_out["coverage"]["0.95"] <= inside[1] + 0.02
    assert made.after["nll_mean"] < made.before["nll_mean"]
    assert made.calibration.samples == 700 and made.calibration.date == "2026-11-22"


def test_before_a_first_calibration_covariances_count_as_they_are_published_four_times_as_large():
    held = [frame.answered(1.0, CONFIG) for frame in frames(60)]
    made = recalibrate(frames(60), "nowhere", risk=0.1)
    bare = [result.answer.covariance[0, 0] for result in frame_results(held, CONFIG, None)]
    assert bare == pytest.approx([4 * (SIGMA_M**2 + 0.25 / 12 + CONFIG.map_sigma_m**2)] * 60, rel=0.01)
    assert made.before["nees"]["mean"] == pytest.approx(3 / 4, rel=0.35)


def test_a_blunder_is_no_question_of_scale():
    rng = np.random.default_rng(1)
    clean = rng.normal(size=1000)
    spoilt = np.concatenate([clean, [1e6]])
    first, second = (fit_scale(lambda s, z=z: z / s) for z in (clean, spoilt))
    assert second / first < math.sqrt(1 + (LARGEST_SIGMAS**2 + 1) / 1000)


@pytest.mark.parametrize("largest", [1.0, 2.0, 6.0])
def test_winsorised_normal_errors_have_a_mean_square_of_one(largest):
    z = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    assert winsorised_mean_square(z, largest) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_scale_is_the_factor_of_the_errors(factor):
    z = factor * np.random.default_rng(5).normal(size=2000)
    assert fit_scale(lambda s: z / s) == within_4_sigma(factor, 2000)


def test_a_protection_factor_of_a_heavy_tail_is_passed_at_most_as_often_as_the_risk_states():
    risk, kept = 0.05, 0
    rng = np.random.default_rng(11)
    for _ in range(400):
        factor = protection_factor(rng.standard_t(3, size=200), risk)
        kept += 2 * t.sf(factor, 3) <= risk
    # the margin promises 95 %: four standard errors of 400 trials below that
    assert kept / 400 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize(("count", "risk"), [(59, 0.05), (200, 0.05), (299, 0.01), (1000, 0.01)])
def test_the_margin_is_the_order_statistic_of_the_binomial_tail(count, risk):
    z = np.arange(1.0, count + 1)
    left_out = count - protection_factor(z, risk)
    assert binom.cdf(left_out, count, risk) <= 0.05 < binom.cdf(left_out + 1, count, risk)


@pytest.mark.parametrize(("risk", "least"), [(0.01, 299), (0.05, 59), (0.5, 5)])
def test_the_largest_of_too_few_errors_bounds_nothing(risk, least):
    assert least_samples(risk) == least
    protection_factor(np.ones(least), risk)
    with pytest.raises(ConfigError, match=f"take at least {least}"):
        protection_factor(np.ones(least - 1), risk)


def test_too_few_samples_are_refused_with_their_number_and_the_remedy():
    with pytest.raises(ConfigError, match=r"298 samples are too few .* risk of 0.01: take at least 299, or .* --risk"):
        check_samples(298, 0.01)
    with pytest.raises(ConfigError, match=r"49 samples are too few .* take at least 50$"):
        check_samples(49, 0.2)
    check_samples(50, 0.2)


def test_a_network_that_knows_nothing_has_no_temperature():
    nothing = [
        replace(frame, log_likelihood=replace(frame.log_likelihood, probability=np.zeros((13, 40, 40), np.float32)))
        for frame in frames(60)
    ]
    with pytest.raises(CheckpointError, match="no maximum at a temperature"):
        fit_calibration(nothing, "nowhere", risk=0.1)


def test_truths_outside_of_every_heat_map_are_refused():
    far = [replace(frame, truth=truth_at(200.0, 0.0)) for frame in frames(60)]
    with pytest.raises(CheckpointError, match="no true position"):
        fit_calibration(far, "nowhere", risk=0.1)


def test_the_likelihood_of_a_frame_is_that_of_the_scored_heat_map():
    for frame in frames(5):
        for flat in (True, False):
            held = replace(frame, flat=flat)
            assert held.nll(0.7) == pytest.approx(held.answered(0.7, CONFIG).score.nll, abs=1e-3)


def test_a_flat_frame_leaves_the_prior_out_of_its_answer():
    frame = frames(1)[0]
    tight = replace(frame, prior=replace(PRIOR, latitude=PRIOR.latitude + 5.0 / 111_000, sigma_m=0.5))
    assert tight.answered(1.0, CONFIG).unscaled.latitude == frame.answered(1.0, CONFIG).unscaled.latitude
    north_m = (replace(tight, flat=False).answered(1.0, CONFIG).unscaled.latitude - PRIOR.latitude) * 111_000
    # the product of the two normal densities
    assert north_m == pytest.approx(5.0 * SIGMA_M**2 / (SIGMA_M**2 + 0.25), abs=0.3)


def test_the_held_out_half_is_not_the_one_that_was_fitted():
    made = recalibrate(frames(60) + frames(60, 2.0, 2.0, 2.0, seed=4), "nowhere", risk=0.1)
    assert made.held_out["nees"]["mean"] == pytest.approx(3 * 4, rel=0.4)
    assert made.held_out["nees"]["frames"] == 60
