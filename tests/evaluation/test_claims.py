# SPDX-License-Identifier: Apache-2.0
"""Bounds, sharpness, strata and protection of metrics.json."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2
from simulated import answer_off, calibrated_drive, result_off, truth_at

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.consistency import chi_square_quantile, ellipse_areas_m2, mean_bounds
from geodistill_core.evaluation.metrics import FrameResult, summarize
from geodistill_core.evaluation.strata import CONFIDENCE_EDGES, PRIOR_EDGES_M, binned
from geodistill_core.localization.protection import ProtectionLevel


def summary_of(results):
    return summarize(results, model="m", map_name="m")


@pytest.mark.parametrize("dof", [1, 2, 3, 30, 3000])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.975, 0.99])
def test_quantiles_are_scipys(dof, probability):
    assert chi_square_quantile(probability, dof) == pytest.approx(chi2.ppf(probability, dof), rel=1e-9)


# the table of the reliability plan: 95 % bounds of the mean for 1, 2 and 3 degrees of freedom
@pytest.mark.parametrize(
    ("count", "bounds"),
    [
        (50, ((0.647, 1.428), (1.484, 2.591), (2.360, 3.716))),
        (200, ((0.814, 1.205), (1.732, 2.287), (2.670, 3.349))),
        (1000, ((0.914, 1.090), (1.878, 2.126), (2.850, 3.154))),
    ],
)
def test_bounds_of_the_mean_nees_are_the_published_ones(count, bounds):
    for dof, expected in enumerate(bounds, 1):
        assert mean_bounds(count, dof) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("probability", "dof"), [(0.0, 3), (1.0, 3), (0.5, 0)])
def test_a_quantile_that_is_none_is_refused(probability, dof):
    with pytest.raises(ConfigError, match="no chi-square quantile"):
        chi_square_quantile(probability, dof)


def test_the_mean_nees_of_calibrated_runs_leaves_its_bounds_as_often_as_they_say():
    rng = np.random.default_rng(2)
    low, high = mean_bounds(200)
    means = chi2.rvs(3, size=(4000, 200), random_state=rng).mean(axis=1)
    outside = ((means < low) | (means > high)).mean()
    assert outside == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_the_summary_states_bounds_for_as_many_frames_as_it_judged():
    summary = summary_of(calibrated_drive(120, drop_every=6))
    assert summary["nees"]["frames"] == 100
    assert summary["nees"]["bounds"] == pytest.approx([2.539, 3.499], abs=6e-4)
    assert "independent" in summary["nees"]["bounds_for"]
    assert summary["coverage_bounds"]["0.95"] == [0.9, 0.99]


def test_the_curve_of_hpd_levels_is_their_distribution():
    frames = [replace(f, hpd_level=(i + 0.5) / 100) for i, f in enumerate(calibrated_drive(100))]
    found = summary_of([*frames, result_off(0.0, 0.0)])["hpd"]
    assert found["frames"] == 100 and found["max_deviation"] == pytest.approx(0.0, abs=1e-9)
    assert found["curve"]["0.35"] == pytest.approx(0.35) and len(found["curve"]) == 19
    squeezed = summary_of([replace(f, hpd_level=f.hpd_level / 2) for f in frames])["hpd"]
    assert squeezed["max_deviation"] == pytest.approx(0.5, abs=0.06)
    assert summary_of([result_off(0.0, 0.0)])["hpd"] == {"frames": 0, "max_deviation": None, "curve": {}}


def test_the_ellipse_of_a_circle_has_its_area():
    covariance = np.diag([4.0, 4.0, 1e-3])[None]
    assert ellipse_areas_m2(covariance) == pytest.approx([math.pi * 4.0 * chi2.ppf(0.95, 2)])
    assert summary_of([result_off(0.0, 0.0)])["sharpness_m2"] == pytest.approx(math.pi * 0.25 * chi2.ppf(0.95, 2))


def test_a_run_that_answered_nothing_claims_nothing():
    summary = summary_of([FrameResult(0, truth_at(), dropped="no_fix")])
    assert summary["sharpness_m2"] is None and summary["strata"] == [] and summary["coverage_bounds"] == {}
    assert summary["nees"]["bounds"] is None
    assert summary["protection"]["lateral"]["share"] is None and summary["protection"]["risk"] is None


def test_strata_tell_where_a_good_mean_hides_two_bad_ones():
    claims = {"sure": 0.05, "unsure": 25.0}
    frames = []
    for i, frame in enumerate(calibrated_drive(400)):
        name = ("sure", "unsure")[i % 2]
        wrong = replace(frame.answer, covariance=frame.answer.covariance * claims[name], status=name)
        frames.append(replace(frame, answer=wrong, road="street"))
    strata = {one["name"]: one for one in summary_of(frames)["strata"] if one["by"] == "status"}
    assert strata["sure"]["nees"] > strata["sure"]["nees_bounds"][1]
    assert strata["unsure"]["nees"] < strata["unsure"]["nees_bounds"][0]
    assert strata["sure"]["coverage"] < strata["sure"]["coverage_bounds"][0]
    assert strata["sure"]["frames"] == strata["unsure"]["frames"] == 200
    # all frames on one kind of road divide nothing
    assert not [one for one in summary_of(frames)["strata"] if one["by"] == "road"]


def test_values_fall_into_bins_in_words():
    assert binned([None, 0.0, 0.3, 1.0], CONFIDENCE_EDGES) == ["", "0 to 0.25", "0.25 to 0.5", "0.9 to 1"]
    assert binned([1.0, 5.0, 77.0], PRIOR_EDGES_M, " m") == ["0 to 2 m", "5 to 10 m", "20 m and more"]


def test_strata_stand_in_the_order_of_their_numbers():
    frames = [
        replace(f, gnss=(f.truth.latitude + north / 111_000, f.truth.longitude))
        for f, north in zip(calibrated_drive(60), [1.0, 7.0, 30.0] * 20, strict=True)
    ]
    names = [one["name"] for one in summary_of(frames)["strata"] if one["by"] == "prior error"]
    assert names == ["0 to 2 m", "5 to 10 m", "20 m and more"]


def test_a_protection_level_is_counted_where_it_is_passed_and_where_it_is_of_use():
    truth = truth_at()
    # heading east: east is along, north across
    cases = [(0.2, 0.1, 0.9, 0.4), (0.2, 0.45, 0.9, 0.4), (1.4, 0.1, 0.9, 0.4), (0.2, 0.1, 3.0, 2.0)]
    frames = [
        FrameResult(i, truth, replace(answer_off(truth, east, north), protection=ProtectionLevel(lat, lon, 0.02)))
        for i, (east, north, lon, lat) in enumerate(cases)
    ]
    found = summary_of(frames)["protection"]
    assert (found["risk"], found["frames"]) == (0.02, 4)
    assert (found["lateral"]["violations"], found["longitudinal"]["violations"]) == (1, 1)
    assert found["lateral"]["share"] == 0.25 and found["lateral"]["availability"] == 0.75
    assert found["lateral"]["zones"] == {"available": 2, "unavailable": 1, "misleading": 1, "hazardous": 0}
    assert found["longitudinal"]["zones"] == {"available": 2, "unavailable": 1, "misleading": 0, "hazardous": 1}


def test_an_answer_without_a_protection_level_counts_as_normal():
    frames = calibrated_drive(2000)
    found = summary_of(frames)["protection"]
    assert found["risk"] == 0.01
    for axis in ("lateral", "longitudinal"):
        assert found[axis]["share"] == pytest.approx(0.01, abs=4 * math.sqrt(0.01 / 2000))
