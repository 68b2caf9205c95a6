# SPDX-License-Identifier: Apache-2.0
"""The fixed pairs: which, in what order, and what an all-knowing or a know-nothing answer scores on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from simulated import truth_at

from geodistill_core.datasets.synthcity import SEEDS, TRAIN_STYLES, UNSEEN_STYLES, sample_pair
from geodistill_core.datasets.synthcity.map_source import REACH_M, SynthCityMap
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.baselines import center_answer, random_answer, score_baseline
from geodistill_core.evaluation.metrics import frame_errors
from geodistill_core.evaluation.synth_eval import SynthSplit, evaluate_synth
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.models import build
from geodistill_core.types import Prior
from tests.evaluation.untrained import manifest_of

MANIFEST = manifest_of("untrained")


def test_the_published_test_set_has_400_pairs_in_sixteen_unseen_cities():
    cases = list(SynthSplit("unseen", "standard", 400).cases())
    assert len(set(cases)) == 400
    assert {style for style, _, _ in cases} == set(UNSEEN_STYLES)
    assert len({(style, seed) for style, seed, _ in cases}) == 16
    assert all(seed in SEEDS["test"] for _, seed, _ in cases)


def test_fewer_pairs_are_a_beginning_of_more():
    many = list(SynthSplit("seen", "easy", 180).cases())
    assert many[:60] == list(SynthSplit("seen", "easy", 60).cases())


def test_no_split_reaches_into_the_training_cities_or_styles():
    for split in ("unseen", "validation", "seen"):
        cases = list(SynthSplit(split, "hard", 400).cases())
        assert not {seed for _, seed, _ in cases} & set(SEEDS["training"])
        if split != "seen":
            assert not {style for style, _, _ in cases} & set(TRAIN_STYLES)


def test_a_seed_base_moves_the_cities():
    cases = list(SynthSplit("unseen", "standard", 60, 23_500).cases())
    assert sorted({seed for _, seed, _ in cases}) == [23_500, 23_501]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("elsewhere", "easy", 1), "elsewhere"),
        (("unseen", "brutal", 1), "brutal"),
        (("unseen", "easy", 0), "pairs 0"),
        (("unseen", "easy", 1, -5), "-5"),
    ],
)
def test_a_split_that_does_not_exist_is_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        SynthSplit(*arguments)


def test_the_map_of_a_pair_shows_its_tile_in_place():
    pair = sample_pair("campus", 20_001, 3, "easy")
    source = SynthCityMap.of_pair(pair)
    tile = source.tile(pair.tile.center, 80.0, 0.25)
    assert tile.valid.all() and tile.attribution == pair.tile.attribution
    ours, theirs = (t.rgb.mean(2) - t.rgb.mean() for t in (tile, pair.tile))
    spectrum = np.fft.fft2(ours) * np.conj(np.fft.fft2(theirs))
    peak = np.fft.ifft2(spectrum / (np.abs(spectrum) + 1e-9)).real
    assert np.unravel_index(peak.argmax(), peak.shape) == (0, 0)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.8  # parked cars differ


def test_the_map_of_a_pair_covers_a_tile_that_the_localizer_moved():
    pair = sample_pair("campus", 20_001, 3, "easy", tile_extent_m=REACH_M)
    center = LocalFrame(pair.tile.center).point(5.6, -5.6)
    assert SynthCityMap.of_pair(pair).tile(center, 80.0, 0.25).valid.all()


def test_the_center_baseline_is_the_prior():
    prior = Prior(47.0, 8.0, 8.0, 0.3, 0.2)
    answer = center_answer(prior)
    assert (answer.latitude, answer.longitude, answer.yaw_enu_rad) == (47.0, 8.0, 0.3)
    assert np.diag(answer.covariance) == pytest.approx([64, 64, 0.04])


def test_random_answers_fill_the_window_and_claim_its_variance():
    truth = truth_at()
    prior = Prior(truth.latitude, truth.longitude, 8.0, 0.0, 0.1)
    rng = np.random.default_rng(1)
    errors = [frame_errors(random_answer(prior, 20.0, rng), truth) for _ in range(3000)]
    east = np.array([e.east_m for e in errors])
    assert np.abs(east).max() <= 20.0 + 1e-6 and np.abs(east).max() > 19.5
    assert east.std() == pytest.approx(20 / math.sqrt(3), rel=0.03)
    assert np.mean([e.nees for e in errors]) == pytest.approx(3.0, rel=0.05)
    assert max(abs(e.yaw_rad) for e in errors) <= 0.3


def test_a_baseline_is_scored_with_the_names_of_metrics():
    truth = truth_at()
    scores = score_baseline([(truth, center_answer(Prior(truth.latitude, truth.longitude, 1.0, 0.0, 0.1)))])
    assert scores["position_error_m"]["max"] == pytest.approx(0.0, abs=1e-6)
    assert scores["recall"]["1m"] == 1.0


def test_an_evaluation_is_complete_and_repeats_itself():
    torch.manual_seed(0)
    network = build("tiny", widths=(8, 8, 8, 8)).eval()
    steps = []
    wanted = SynthSplit("unseen", "easy", 3)
    first = evaluate_synth(network, MANIFEST, wanted, step=lambda: steps.append(1))
    assert len(steps) == first["frames"] == first["frames_localized"] == 3
    assert first["seed"] == 20_000 and first["map"] == "synthcity unseen easy"
    assert first["baselines"]["center"]["position_error_m"] == first["gnss_error_m"]
    assert set(first["baselines"]) == {"center", "random"}
    assert first["latency_ms"]["p50"] is None
    assert 0 < first["heatmap"]["nll_mean"] < 2 * first["heatmap"]["nll_uniform"]
    assert first == evaluate_synth(network, MANIFEST, wanted)
