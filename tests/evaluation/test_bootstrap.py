# SPDX-License-Identifier: Apache-2.0
"""The block bootstrap against what is known of series whose dependence is known."""

from __future__ import annotations

import numpy as np
import pytest

from geodistill_core.evaluation.comparison.bootstrap import Dependence, Strata, dependence, intervals, student_factor
from geodistill_core.evaluation.comparison.bootstrap import weighted_quantiles as quantiles_of


def autoregressive(count, rho, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(count + 200)
    for i in range(1, len(values)):
        values[i] += rho * values[i - 1]
    return values[200:]


def mean_of(values):
    return lambda weights: np.array([weights @ values / weights.sum()])


def test_independent_values_need_no_blocks():
    blocks = [dependence(np.random.default_rng(seed).standard_normal(500)).block for seed in range(20)]
    assert np.median(blocks) <= 2


def test_blocks_grow_with_the_dependence():
    weak, strong = (
        np.median([dependence(autoregressive(1000, rho, seed)).block for seed in range(10)]) for rho in (0.5, 0.95)
    )
    assert 3 <= weak < strong / 3


@pytest.mark.parametrize("series", [[], [1.0, 2.0], [3.0] * 50, [np.nan] * 50], ids=["none", "two", "constant", "NaN"])
def test_a_series_that_says_nothing_has_no_dependence(series):
    assert dependence(np.array(series)) == Dependence(1, 0.0)


def test_the_interval_of_a_dependent_mean_is_about_as_wide_as_theory_says():
    # an AR(1) mean has the variance sigma^2 / (1 - rho)^2 / n; the mean of 12 half widths is known to some 10 %
    count, rho = 2000, 0.8
    half = []
    for seed in range(12):
        series = autoregressive(count, rho, seed)
        low, high = intervals(Strata((count,), (dependence(series),)), mean_of(series), 0.95, 300)
        half.append((high[0] - low[0]) / 2)
    assert np.mean(half) == pytest.approx(1.96 / (1 - rho) / np.sqrt(count), rel=0.2)


def test_a_drive_without_a_difference_is_seldom_called_one():
    """The naive bootstrap calls about two thirds of these drives; 15 of 120 are far above the nominal 6."""
    called = naive = 0
    for seed in range(120):
        series = autoregressive(400, 0.9, seed)
        for strata in (Strata((400,), (dependence(series),)), Strata((400,), (Dependence(),))):
            low, high = intervals(strata, mean_of(series), 0.95, 200)
            outside = low[0] > 0.0 or high[0] < 0.0
            called += outside and strata.dependences[0].block > 1
            naive += outside and strata.dependences[0].block == 1
    assert called <= 15 < 60 < naive


def test_every_group_keeps_its_share_in_every_replicate():
    strata = Strata((100, 30), (Dependence(7), Dependence(1)))
    for seed in range(5):
        weights = strata.weights(np.random.default_rng(seed))
        assert weights.shape == (130,) and (weights >= 0).all()
        assert weights[:100].sum() == pytest.approx(100) and weights[100:].sum() == pytest.approx(30)


def test_blocks_are_runs_of_neighbours_around_the_end():
    weights = Strata((12,), (Dependence(12),)).weights(np.random.default_rng(0))
    assert weights.tolist() == [1.0] * 12
    weights = Strata((12,), (Dependence(4),)).weights(np.random.default_rng(1))
    drawn = np.flatnonzero(np.diff(np.concatenate([weights[-1:], weights])))
    assert len(drawn) <= 6  # three blocks have at most six ends


def test_all_frames_weigh_alike_in_the_long_run():
    strata = Strata((40,), (Dependence(9),))
    rng = np.random.default_rng(3)
    mean = np.mean([strata.weights(rng) for _ in range(4000)], axis=0)
    assert mean == pytest.approx(np.ones(40), abs=0.15)


def test_intervals_are_the_same_every_time():
    series = autoregressive(200, 0.5, 1)
    strata = Strata((200,), (Dependence(5),))
    first, second = (intervals(strata, mean_of(series), 0.9, 50) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes() and first[1].tobytes() == second[1].tobytes()


@pytest.mark.parametrize(("freedom", "quantile"), [(4, 2.776), (9, 2.262), (29, 2.045), (1000, 1.962)])
def test_students_factor_is_that_of_the_tables(freedom, quantile):
    assert student_factor(freedom, 0.95) * 1.95996 == pytest.approx(quantile, abs=0.01)


def test_weighted_quantiles_count_a_value_as_often_as_it_weighs():
    values, weights = np.array([5.0, 1.0, 3.0]), np.array([1.0, 4.0, 2.0])
    expected = [float(np.percentile([1, 1, 1, 1, 3, 3, 5], q, method="inverted_cdf")) for q in (50, 95)]
    assert quantiles_of(values, (0.5, 0.95))(weights) == expected
