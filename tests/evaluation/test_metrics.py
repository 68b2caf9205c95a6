# SPDX-License-Identifier: Apache-2.0
"""Errors against hand-computed cases, consistency against Monte Carlo of calibrated Gaussians and scipy."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from pyproj import Geod
from scipy import stats
from simulated import answer_off, calibrated_drive, result_off, truth_at

from geodistill_core.errors import DatasetError
from geodistill_core.evaluation.files import to_json, write_json, write_tum
from geodistill_core.evaluation.metrics import (
    COVERAGE_LEVELS,
    FrameResult,
    bias,
    bias_text,
    ellipse_quantile_sq,
    frame_errors,
    gnss_errors_m,
    scored,
    summarize,
)

DESIGN_KEYS = {
    "frames",
    "frames_localized",
    "dropped",
    "position_error_m",
    "lateral_error_m",
    "longitudinal_error_m",
    "position_bias_m",
    "yaw_error_deg",
    "recall",
    "gnss_error_m",
    "nees",
    "coverage",
    "coverage_bounds",
    "hpd",
    "sharpness_m2",
    "strata",
    "protection",
    "latency_ms",
    "throughput_hz",
    "model",
    "map",
    "seed",
    "versions",
}


def summary_of(results, **extra):
    return summarize(results, model="tiny", map_name="drive.mbtiles", **extra)


def test_position_error_is_the_geodesic_distance():
    truth = truth_at()
    answer = answer_off(truth, 3.0, 4.0)
    geodesic = Geod(ellps="WGS84").inv(truth.longitude, truth.latitude, answer.longitude, answer.latitude)[2]
    assert frame_errors(answer, truth).position_m == pytest.approx(geodesic, abs=1e-5)
    assert geodesic == pytest.approx(5.0, abs=1e-5)


@pytest.mark.parametrize(
    ("heading_deg", "east", "north", "longitudinal", "lateral"),
    [
        (0, 2.0, 0.0, 2.0, 0.0),
        (0, 0.0, 2.0, 0.0, 2.0),  # heading east: north is to the left
        (90, 0.0, 2.0, 2.0, 0.0),
        (90, 2.0, 0.0, 0.0, -2.0),  # heading north: east is to the right
        (180, 1.0, 0.0, -1.0, 0.0),
        (45, 1.0, 1.0, math.sqrt(2), 0.0),
    ],
)
def test_longitudinal_runs_along_the_heading_and_lateral_to_the_left(heading_deg, east, north, longitudinal, lateral):
    result = result_off(east, north, heading_rad=math.radians(heading_deg))
    errors = frame_errors(result.answer, result.truth)
    assert errors.longitudinal_m == pytest.approx(longitudinal, abs=1e-6)
    assert errors.lateral_m == pytest.approx(lateral, abs=1e-6)


def test_a_purely_lateral_error_reports_no_longitudinal_one():
    heading = math.radians(30)
    left = (-math.sin(heading), math.cos(heading))
    summary = summary_of([result_off(1.5 * left[0], 1.5 * left[1], heading_rad=heading) for _ in range(5)])
    assert summary["lateral_error_m"]["max"] == pytest.approx(1.5, abs=1e-6)
    assert summary["longitudinal_error_m"]["max"] == pytest.approx(0.0, abs=1e-6)


def test_yaw_error_wraps_across_the_half_turn():
    result = result_off(0, 0, yaw_rad=math.radians(4), heading_rad=math.radians(178))
    assert math.degrees(frame_errors(result.answer, result.truth).yaw_rad) == pytest.approx(4.0)
    whole_turn = result_off(0, 0, yaw_rad=2 * math.pi + 0.01)
    assert frame_errors(whole_turn.answer, whole_turn.truth).yaw_rad == pytest.approx(0.01)


def test_errors_are_the_same_across_the_antimeridian():
    from geodistill_core.datasets.truth import Truth

    truth = Truth(-16.5, 179.9999999, 0.3)
    answer = answer_off(truth, 5.0, 0.0)
    assert answer.longitude < 0
    assert frame_errors(answer, truth).east_m == pytest.approx(5.0, abs=1e-5)


def test_nees_of_a_hand_computed_case():
    result = result_off(1.0, 2.0, yaw_rad=0.1)
    answer = answer_off(result.truth, 1.0, 2.0, 0.1, np.diag([4.0, 1.0, 0.01]))
    errors = frame_errors(answer, result.truth)
    assert errors.nees == pytest.approx(1 / 4 + 4 / 1 + 0.01 / 0.01, abs=1e-5)
    assert errors.position_mahalanobis_sq == pytest.approx(0.25 + 4.0, abs=1e-5)


def test_nees_uses_the_cross_terms():
    covariance = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    truth = truth_at()
    along = frame_errors(answer_off(truth, 1, 1, 0, covariance), truth)
    across = frame_errors(answer_off(truth, 1, -1, 0, covariance), truth)
    error = np.array([1.0, 1.0, 0.0])
    assert along.nees == pytest.approx(error @ np.linalg.inv(covariance) @ error, abs=1e-5)
    assert across.nees > 5 * along.nees


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.diag([1.0, -1.0, 1.0]), np.full((3, 3), np.nan)])
def test_a_covariance_that_is_not_positive_definite_is_refused(matrix):
    truth = truth_at()
    with pytest.raises(DatasetError, match="positive definite"):
        frame_errors(answer_off(truth, 1, 1, 0, matrix), truth)


def test_calibrated_answers_score_chi_square_nees_and_nominal_coverage():
    count = 4000
    summary = summary_of(calibrated_drive(count))
    low, high = stats.chi2.ppf([1e-5, 1 - 1e-5], 3 * count) / count
    assert low < summary["nees"]["mean"] < high
    assert summary["nees"]["median"] == pytest.approx(stats.chi2.median(3), rel=0.06)
    assert summary["nees"]["p95"] == pytest.approx(stats.chi2.ppf(0.95, 3), rel=0.06)
    assert summary["nees"]["dof"] == 3
    for level in COVERAGE_LEVELS:
        low, high = stats.binom.ppf([1e-5, 1 - 1e-5], count, level) / count
        assert low <= summary["coverage"][f"{level:g}"] <= high


def test_overconfident_answers_score_high_nees_and_low_coverage():
    honest = calibrated_drive(600)
    boastful = [
        FrameResult(r.stamp_ns, r.truth, type(r.answer)(*_pose(r.answer), np.asarray(r.answer.covariance) / 4), r.gnss)
        for r in honest
    ]
    summary = summary_of(boastful)
    assert summary["nees"]["mean"] == pytest.approx(4 * summary_of(honest)["nees"]["mean"])
    assert summary["coverage"]["0.95"] < 0.85


def _pose(answer):
    return answer.latitude, answer.longitude, answer.yaw_enu_rad


@pytest.mark.parametrize("level", COVERAGE_LEVELS)
def test_ellipse_quantile_is_chi_square_with_two_degrees_of_freedom(level):
    assert ellipse_quantile_sq(level) == pytest.approx(stats.chi2.ppf(level, 2), rel=1e-12)


def test_summary_has_exactly_the_designed_keys():
    summary = summary_of(calibrated_drive(10))
    assert set(summary) == DESIGN_KEYS
    assert set(summary["position_error_m"]) == {"mean", "median", "p90", "p95", "max"}
    assert set(summary["recall"]) == {"1m", "3m", "5m", "1deg", "5deg"}
    assert set(summary["nees"]) == {"mean", "median", "p95", "dof", "frames", "bounds", "bounds_for"}
    assert set(summary["coverage"]) == {"0.5", "0.68", "0.9", "0.95", "0.99"}
    assert set(summary["latency_ms"]) == {"p50", "p90", "p99"}


def test_every_frame_is_either_localized_or_dropped_for_a_reason():
    results = calibrated_drive(40, drop_every=7)
    summary = summary_of(results)
    assert summary["frames"] == 40
    assert summary["dropped"] == {"no_fix": 5}
    assert summary["frames_localized"] == 35
    with pytest.raises(DatasetError, match="either an answer or a reason"):
        FrameResult(0, truth_at())


def test_spread_is_that_of_the_errors():
    results = [result_off(float(d), 0.0) for d in (1, 2, 3, 4, 10)]
    position = summary_of(results)["position_error_m"]
    assert position["mean"] == pytest.approx(4.0, abs=1e-5)
    assert position["median"] == pytest.approx(3.0, abs=1e-5)
    assert position["p90"] == pytest.approx(7.6, abs=1e-5)
    assert position["max"] == pytest.approx(10.0, abs=1e-5)


def test_recall_counts_shares_within_the_limits():
    results = [result_off(d, 0.0, yaw_rad=math.radians(2 * d)) for d in (0.2, 0.9, 2.0, 4.0, 9.0)]
    recall = summary_of(results)["recall"]
    assert recall == {"1m": 0.4, "3m": 0.6, "5m": 0.8, "1deg": 0.2, "5deg": 0.6}


def test_gnss_error_counts_dropped_frames_too():
    truth = truth_at()
    fix = answer_off(truth, 6.0, 8.0)
    dropped = FrameResult(0, truth=truth, gnss=(fix.latitude, fix.longitude), dropped="no_imagery")
    assert gnss_errors_m([dropped, result_off(1, 1)]) == pytest.approx([10.0], abs=1e-5)


@pytest.mark.parametrize("results", [[], [FrameResult(5, dropped="truncated")]], ids=["none", "one dropped"])
def test_nothing_scored_gives_null_and_not_nan(results):
    summary = summary_of(results)
    assert summary["position_error_m"]["median"] is None
    assert summary["recall"]["1m"] is None
    assert summary["coverage"]["0.95"] is None
    assert summary["frames"] == len(results)
    assert "NaN" not in to_json(summary)


def test_one_frame_is_its_own_median_and_maximum():
    position = summary_of([result_off(2.0, 0.0)])["position_error_m"]
    assert {round(value, 5) for value in position.values()} == {2.0}


def test_answers_without_truth_count_as_localized_and_score_nothing():
    answer = answer_off(truth_at(), 0, 0)
    summary = summary_of([FrameResult(0, answer=answer)])
    assert (summary["frames_localized"], summary["position_error_m"]["mean"]) == (1, None)
    assert scored([FrameResult(0, answer=answer)]) == []


def test_latency_and_throughput_are_null_unless_measured():
    quiet = summary_of(calibrated_drive(4))
    assert quiet["latency_ms"] == {"p50": None, "p90": None, "p99": None}
    assert quiet["throughput_hz"] is None
    timed = summary_of([result_off(0, 0, latency_ms=float(v)) for v in range(1, 102)], elapsed_s=10.0)
    assert timed["latency_ms"] == {"p50": 51.0, "p90": 91.0, "p99": 100.0}
    assert timed["throughput_hz"] == pytest.approx(10.1)


def test_json_is_sorted_finite_and_the_same_every_time(tmp_path):
    payload = {"b": float("nan"), "a": [float("inf"), -0.0, 1 / 3], "c": {"z": True, "y": None}}
    text = to_json(payload)
    assert json.loads(text) == {"a": [None, 0.0, 0.333333333], "b": None, "c": {"y": None, "z": True}}
    assert text.index('"a"') < text.index('"b"') < text.index('"c"')
    assert "-0.0" not in text
    write_json(tmp_path / "deep" / "metrics.json", payload)
    assert (tmp_path / "deep" / "metrics.json").read_text() == text


def test_tum_files_hold_metres_from_the_first_truth(tmp_path):
    results = [
        FrameResult(1_500_000_000, truth_at(0, 0, 0.0), answer_off(truth_at(0, 0), 1.0, -2.0, math.pi / 2)),
        FrameResult(2_500_000_001, truth_at(10, 0, 0.0), dropped="no_fix"),
    ]
    estimate, truth = (path.read_text().split("\n") for path in write_tum(tmp_path, results))
    assert len(estimate) == 2 and len(truth) == 3
    values = [float(v) for v in estimate[0].split()]
    half = math.sqrt(0.5)
    assert values == pytest.approx([1.5, 1.0, -2.0, 0, 0, 0, half, half], abs=1e-5)
    assert truth[1].startswith("2.500000001 10.000000 0.000000 ")
    assert write_tum(tmp_path, []) == []


def test_a_common_offset_is_the_bias_whatever_a_few_blunders_say():
    bias = summary_of([result_off(3.0, -4.0)] * 9 + [result_off(200.0, 300.0)])["position_bias_m"]
    assert (bias["east"], bias["north"], bias["horizontal"]) == pytest.approx((3.0, -4.0, 5.0), abs=1e-4)
    assert bias_text(bias) == "5.00 m: in the median the answers lie 3.00 m east and 4.00 m south of the truth"


def test_a_bias_along_the_vehicle_turns_with_it():
    headings = [turn * math.pi / 2 for turn in range(8)]
    ahead = [result_off(2.0 * math.cos(yaw), 2.0 * math.sin(yaw), heading_rad=yaw) for yaw in headings]
    bias = summary_of(ahead)["position_bias_m"]
    assert bias["longitudinal"] == pytest.approx(2.0, abs=1e-4) and bias["horizontal"] == pytest.approx(0.0, abs=1e-4)


def test_the_bias_of_no_errors_is_unknown():
    assert set(summary_of([])["position_bias_m"].values()) == {None} and bias_text(bias([])) == "unknown"
