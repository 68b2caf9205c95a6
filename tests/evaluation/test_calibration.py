# SPDX-License-Identifier: Apache-2.0
"""Calibration against scipy, closed forms and maps that are calibrated by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import log_softmax
from simulated import ORIGIN, truth_at

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.calibration import (
    CellCoordinate,
    HeatMapScore,
    binomial_bounds,
    cell_of,
    ellipse_level,
    fit_temperature,
    hpd_level,
    nll_at,
    reliability_curve,
    score_heatmap,
    summarize_heatmaps,
    tempered,
    yaw_coordinate,
)
from geodistill_core.types import HeatMap


def heat_map(shape=(5, 20, 30), metres_per_cell=0.5):
    probability = np.full(shape, 1 / np.prod(shape), np.float32)
    yaw = np.radians(np.arange(shape[0]) * 3.0 - 6.0)
    return HeatMap(probability, ORIGIN, metres_per_cell, yaw)


def test_cell_of_inverts_the_axes_of_the_heat_map():
    grid = heat_map()
    east, north = grid.axes_m()
    cell = cell_of(grid, truth_at(float(east[7]), float(north[3]), float(grid.yaw_enu_rad[1])))
    assert (cell.column, cell.row, cell.yaw) == pytest.approx((7, 3, 1), abs=1e-4)


def test_cell_of_is_none_outside_of_position_or_yaw():
    grid = heat_map()
    assert cell_of(grid, truth_at(7.6, 0.0, 0.0)) is None
    assert cell_of(grid, truth_at(0.0, -5.1, 0.0)) is None
    assert cell_of(grid, truth_at(0.0, 0.0, math.radians(10))) is None
    assert cell_of(grid, truth_at(7.4, -4.9, math.radians(7.4))) is not None


def test_yaw_coordinate_finds_the_same_cell_one_turn_further():
    axis = np.radians([170.0, 180.0, 190.0])
    assert yaw_coordinate(axis, math.radians(-175)) == pytest.approx(1.5)
    assert yaw_coordinate(axis, math.radians(165.5)) == pytest.approx(-0.45)
    assert yaw_coordinate(axis, math.radians(-164)) is None
    assert yaw_coordinate(np.array([0.3]), 2.0) == 0.0


def test_hpd_level_of_hand_made_maps():
    probability = np.array([[[0.5, 0.2], [0.2, 0.1]]])
    assert hpd_level(probability, (0, 0, 0)) == pytest.approx(0.25)
    assert hpd_level(probability, (0, 0, 1)) == pytest.approx(0.5 + 0.2)
    assert hpd_level(probability, (0, 1, 1)) == pytest.approx(0.95)


def test_hpd_levels_of_a_calibrated_map_are_uniform():
    rng = np.random.default_rng(3)
    levels = []
    for _ in range(600):
        probability = np.exp(2.0 * rng.standard_normal((3, 12, 12)))
        probability /= probability.sum()
        drawn = np.unravel_index(rng.choice(probability.size, p=probability.ravel()), probability.shape)
        levels.append(hpd_level(probability, drawn))
    assert stats.kstest(levels, "uniform").pvalue > 1e-4


def test_nll_at_a_cell_centre_is_minus_its_log_probability():
    log_p = log_softmax(np.random.default_rng(0).standard_normal((3, 4, 5)))
    assert nll_at(log_p, CellCoordinate(1, 2, 3)) == pytest.approx(-log_p[1, 2, 3])


def test_nll_between_cells_is_the_log_of_the_interpolated_probability():
    probability = np.random.default_rng(1).random((2, 4, 4))
    at = CellCoordinate(0.25, 1.5, 2.75)
    expected = 0.0
    for y, wy in ((0, 0.75), (1, 0.25)):
        for r, wr in ((1, 0.5), (2, 0.5)):
            for c, wc in ((2, 0.25), (3, 0.75)):
                expected += wy * wr * wc * probability[y, r, c]
    assert nll_at(np.log(probability), at) == pytest.approx(-math.log(expected))


def test_nll_next_to_an_impossible_cell_is_finite_and_inside_one_is_infinite():
    log_p = np.full((1, 2, 2), -np.inf)
    log_p[0, 0, 0] = 0.0
    assert nll_at(log_p, CellCoordinate(0, 0.5, 0)) == pytest.approx(math.log(2))
    assert nll_at(log_p, CellCoordinate(0, 1, 1)) == math.inf


def test_nll_survives_probabilities_that_underflow():
    log_p = np.full((1, 2, 2), -2000.0)
    assert nll_at(log_p, CellCoordinate(0, 0.5, 0.5)) == pytest.approx(2000.0)


def test_nll_at_the_seam_of_a_full_turn_uses_both_sides():
    log_p = np.log(np.array([0.7, 0.2, 0.1])).reshape(3, 1, 1)
    assert nll_at(log_p, CellCoordinate(-0.5, 0, 0), yaw_periodic=True) == pytest.approx(-math.log(0.4))
    assert nll_at(log_p, CellCoordinate(-0.5, 0, 0)) == pytest.approx(-math.log(0.7))


def test_tempered_is_scipys_log_softmax():
    logits = 30 * np.random.default_rng(2).standard_normal((2, 3, 4))
    np.testing.assert_allclose(tempered(logits, 2.5), log_softmax(logits / 2.5))
    with pytest.raises(ConfigError, match="temperature 0"):
        tempered(logits, 0.0)


def test_fitted_temperature_undoes_a_known_sharpening():
    rng = np.random.default_rng(5)
    true_temperature, frames = 2.5, []
    for _ in range(800):
        logits = 3.0 * rng.standard_normal(50)
        probability = np.exp(log_softmax(logits))
        frames.append((true_temperature * logits, rng.choice(50, p=probability)))

    def mean_nll(temperature):
        return float(np.mean([-tempered(logits, temperature)[drawn] for logits, drawn in frames]))

    fitted = fit_temperature(mean_nll)
    oracle = optimize.minimize_scalar(lambda log_t: mean_nll(math.exp(log_t)), bounds=(-2, 2), method="bounded")
    assert fitted == pytest.approx(math.exp(oracle.x), rel=2e-3)
    assert fitted == pytest.approx(true_temperature, rel=0.1)


@pytest.mark.parametrize("count", [1, 50, 100, 500, 2000])
@pytest.mark.parametrize("probability", [0.05, 0.5, 0.95])
def test_binomial_bounds_are_scipys_quantiles(count, probability):
    expected = stats.binom.ppf([0.025, 0.975], count, probability) / count
    assert binomial_bounds(count, probability) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("dof", [2.5, 5.0, 40.0])
def test_ellipse_level_of_students_t_is_that_of_the_f_distribution_of_its_scatter(dof):
    for squared in (0.0, 0.4, 2.0, 9.0, 80.0):
        # scatter is (dof - 2) / dof of the covariance
        expected = stats.f.cdf(squared * dof / (dof - 2.0) / 2.0, 2, dof)
        assert ellipse_level(squared, dof) == pytest.approx(expected, abs=1e-12)


def test_ellipse_level_is_the_chi_square_distribution_with_two_dof():
    for value in (0.0, 0.5, 5.99, 30.0):
        assert ellipse_level(value) == pytest.approx(stats.chi2.cdf(value, 2))


def test_reliability_curve_of_uniform_levels_stays_in_its_band():
    curve = reliability_curve(np.random.default_rng(8).random(2000))
    assert curve.max_deviation < stats.kstwo.ppf(1 - 1e-4, 2000)
    assert [curve.low[9], curve.high[9]] == pytest.approx(stats.binom.ppf([0.025, 0.975], 2000, 0.5) / 2000)


def test_reliability_curve_of_boastful_levels_runs_below_the_diagonal():
    curve = reliability_curve(np.sqrt(np.random.default_rng(8).random(2000)))
    assert all(o < n for n, o in zip(curve.nominal, curve.observed, strict=True))
    assert curve.max_deviation == pytest.approx(0.25, abs=0.03)


def test_reliability_curve_without_frames_is_empty():
    curve = reliability_curve([])
    assert curve.nominal == () and math.isnan(curve.max_deviation)


def test_a_heat_map_is_scored_where_the_truth_lies():
    grid = heat_map()
    east, north = grid.axes_m()
    truth = truth_at(float(east[7]), float(north[3]), float(grid.yaw_enu_rad[1]))
    uniform = score_heatmap(grid, truth)
    assert uniform.nll == pytest.approx(uniform.nll_uniform, abs=1e-6) == math.log(5 * 20 * 30)
    assert uniform.hpd_level == pytest.approx(0.5)
    sure = np.zeros_like(grid.probability)
    sure[1, 3, 7] = 1.0
    score = score_heatmap(HeatMap(sure, ORIGIN, 0.5, grid.yaw_enu_rad), truth)
    assert score.nll == pytest.approx(0.0, abs=1e-3) and score.hpd_level == pytest.approx(0.5)
    wrong = np.roll(sure, 5, axis=1)
    score = score_heatmap(HeatMap(wrong, ORIGIN, 0.5, grid.yaw_enu_rad), truth)
    assert 80 < score.nll < 110 and score.hpd_level == pytest.approx(1.0)
    assert score_heatmap(grid, truth_at(50.0)) is None


def test_scores_of_heat_maps_are_summed_up_with_the_truths_that_lay_outside():
    scores = [HeatMapScore(1.0, 4.0, 0.2), None, HeatMapScore(3.0, 4.0, 0.7)]
    summary = summarize_heatmaps(scores)
    assert (summary["nll_mean"], summary["nll_uniform"], summary["truth_outside"]) == (2.0, 4.0, 1)
    assert summarize_heatmaps([None])["nll_mean"] is None
