# SPDX-License-Identifier: Apache-2.0
"""Row F15 of the reliability plan: imagery that lies three metres beside where it claims to lie."""

from __future__ import annotations

from functools import cache

import pytest

from geodistill_core.cli.summary import remarks
from geodistill_core.datasets.synthcity import SEEDS, VALIDATION_STYLES, sample_pair
from geodistill_core.datasets.synthcity.map_source import REACH_M
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, frame_errors, summarize
from geodistill_core.evaluation.report import Report, render_report
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import EstimateConfig, Localizer, LocalizerConfig
from geodistill_core.maps import RasterSource

# 3 m towards the north-west; the standard deviation of each axis when 3 m is the root mean square of the whole
EAST_M, NORTH_M, SIGMA_M = -2.4, 1.8, 3.0 / 2**0.5
PAIRS = 8


@cache
def pairs():
    first = SEEDS["validation"].start
    return [
        sample_pair(next(iter(VALIDATION_STYLES)), first, index, "easy", tile_extent_m=REACH_M)
        for index in range(PAIRS)
    ]


def shifted(tile, map_sigma_m):
    source = RasterSource(
        tile.rgb, LocalFrame(tile.center).point(EAST_M, NORTH_M), tile.metres_per_pixel, valid=tile.valid
    )
    source.map_sigma_m = map_sigma_m
    return source


@cache
def run(stated_m, configured_m=0.1):
    """Answers on shifted imagery that states so much of itself, under a configuration that assumes so much."""
    config = LocalizerConfig(estimate=EstimateConfig(map_sigma_m=configured_m))
    results = []
    for number, pair in enumerate(pairs()):
        found = Localizer.load("tiny", shifted(pair.tile, stated_m), config).locate(pair.ground, pair.prior)
        results.append(FrameResult(number, pair.truth, PoseAnswer.of(found)))
    return results, summarize(results, model="tiny", map_name="shifted")


def test_f15_the_answers_are_as_wrong_as_the_imagery_and_say_so():
    results, summary = run(SIGMA_M)
    assert summary["position_error_m"]["median"] == pytest.approx(3.0, abs=0.5)
    assert summary["nees"]["mean"] < 7.8
    assert max(frame_errors(result.answer, result.truth).nees for result in results) < 16.3  # 0.1 % of chi-square


def test_f15_without_a_word_about_the_map_the_covariance_would_lie():
    assert run(0.0)[1]["nees"]["mean"] > 3 * 7.8


def test_f15_what_the_map_states_and_what_the_node_is_told_weigh_the_same():
    assert run(SIGMA_M)[1] == run(0.0, SIGMA_M)[1] == run(0.5, SIGMA_M)[1]


def test_f15_the_evaluation_reports_the_shift_as_bias():
    results, summary = run(SIGMA_M)
    bias = summary["position_bias_m"]
    assert bias["east"] == pytest.approx(EAST_M, abs=0.5) and bias["north"] == pytest.approx(NORTH_M, abs=0.5)
    assert bias["horizontal"] == pytest.approx(3.0, abs=0.5)
    said = f"{-bias['east']:.2f} m west and {bias['north']:.2f} m north of the truth"
    assert any(line.startswith("bias ") and said in line for line in remarks(summary))
    assert said in render_report(Report("drive", summary, results))
