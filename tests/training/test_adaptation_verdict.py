# SPDX-License-Identifier: Apache-2.0
"""Whether an adapted network is better, decided on fabricated answers whose errors are known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from geodistill_training.adapt.consistency import needed_inflation, normalised_disagreement, warmer
from geodistill_training.adapt.drive_parts import divide
from geodistill_training.adapt.evidence import LARGEST_M, Answer, HeldFrame, link, measures
from geodistill_training.adapt.promote import earned_calibration
from geodistill_training.adapt.verdict import judge, new_answer, old_answer
from geodistill_training.recipe.bag import BagData

from geodistill_core.localization.dead_reckoning import Displacement
from geodistill_core.localization.estimate import EstimateConfig, estimate
from geodistill_core.models.manifest import Calibration
from geodistill_core.types import GeoPoint, HeatMap, MapTile

STEP_M = 2.5
COVARIANCE = np.diag([0.25, 0.25, 0.01])


def drive(old_sigma_m, new_sigma_m, frames=200, *, blocks=4, seed=1, shift_m=0.0, new_entropy=4.0, new_ok=1.0):
    """A drive along a circle: answers with white errors, odometry that is true, GNSS that is 6 m off."""
    rng = np.random.default_rng(seed)
    radius_m = 200.0
    held = []
    for i in range(frames):
        angle = STEP_M * i / radius_m
        truth = (radius_m * math.sin(angle), radius_m * (1 - math.cos(angle)), angle)

        def answer(sigma_m, entropy, ok=True, along_m=0.0, truth=truth):
            east_m, north_m = rng.normal(0, sigma_m, 2)
            ahead = along_m * math.cos(truth[2]), along_m * math.sin(truth[2])
            place = truth[0] + east_m + ahead[0], truth[1] + north_m + ahead[1]
            return Answer(*place, truth[2], COVARIANCE, entropy, ok)

        turn = STEP_M / radius_m
        # the way as seen from its end: the chord leaves the end's heading by half the turn
        chord_m = 2 * radius_m * math.sin(turn / 2)
        since = Displacement(chord_m * math.cos(turn / 2), chord_m * -math.sin(turn / 2), STEP_M, turn, 0.0)
        block = i * blocks // frames
        first = i == 0 or block != (i - 1) * blocks // frames
        gnss = truth[0] + 6.0 + rng.normal(0, 1), truth[1] + rng.normal(0, 1)
        old, new = answer(old_sigma_m, 4.0), answer(new_sigma_m, new_entropy, rng.random() < new_ok, shift_m)
        held.append(HeldFrame(block, *gnss, 8.0, None if first else since, old, new, truth))
    return held


def unmet(verdict):
    return {line.name for line in verdict.criteria if not line.met}


def test_answers_that_agree_better_with_odometry_are_promoted():
    verdict = judge(drive(1.0, 0.5))
    assert verdict.promoted, unmet(verdict)
    assert verdict.changes["odometry_m"]["high"] < 0
    # white errors of sigma s make differences of sigma s sqrt 2, whose mean length is s sqrt(pi)
    assert verdict.old["odometry_m"]["mean"] == pytest.approx(math.sqrt(math.pi), rel=0.1)
    assert verdict.new["odometry_m"]["mean"] == pytest.approx(0.5 * math.sqrt(math.pi), rel=0.1)


def test_equal_answers_are_not_promoted():
    frames = [replace(frame, new=frame.old) for frame in drive(1.0, 1.0)]
    verdict = judge(frames)
    assert not verdict.promoted
    assert unmet(verdict) == {"gain in agreement with odometry", "upper bound of change against odometry, m"}


def test_worse_answers_are_not_promoted():
    assert not judge(drive(0.5, 1.0)).promoted


@pytest.mark.parametrize("seed", range(8))
def test_answers_that_are_as_good_are_rarely_promoted_by_chance(seed):
    verdict = judge(drive(1.0, 1.0, seed=seed))
    assert not verdict.promoted


def test_a_gain_on_too_few_frames_is_not_believed():
    verdict = judge(drive(1.0, 0.4, frames=25, blocks=1))
    assert "held-out runs of frames" in unmet(verdict)


def test_a_constant_shift_along_the_road_is_refused_although_odometry_agrees():
    verdict = judge(drive(1.0, 0.4, shift_m=1.5))
    assert unmet(verdict) == {"shift against the old answers, m"}


def test_answers_drawn_towards_wrong_places_far_from_gnss_are_refused():
    frames = [
        replace(f, new=replace(f.new, east_m=f.new.east_m - 30.0 * f.block))
        for f in drive(1.0, 0.3, blocks=8, frames=240)
    ]
    assert "lower bound of change against GNSS, m" in unmet(judge(frames))


def test_agreeing_with_gnss_alone_promotes_nothing():
    frames = [replace(f, new=replace(f.new, east_m=f.gnss_east_m, north_m=f.gnss_north_m)) for f in drive(0.3, 0.3)]
    verdict = judge(frames)
    assert verdict.new["gnss_m"]["mean"] == 0
    assert not verdict.promoted


def test_surer_heat_maps_promote_nothing_and_vaguer_ones_veto():
    assert not judge(drive(1.0, 1.0, new_entropy=1.0, seed=3)).promoted
    assert unmet(judge(drive(1.0, 0.5, new_entropy=5.5))) == {"rise of entropy, nats"}


def test_losing_frames_vetoes():
    assert "lost share of localized frames" in unmet(judge(drive(1.0, 0.5, new_ok=0.9)))
    gone = [replace(f, new=None) if i % 10 == 0 else f for i, f in enumerate(drive(1.0, 0.5))]
    assert unmet(judge(gone)) == {"lost share of localized frames"}


def test_a_temperature_that_would_have_to_grow_too_much_vetoes():
    assert unmet(judge(drive(1.0, 0.5), inflation=2.5)) == {"temperature had to grow by"}


def test_nothing_at_all_is_refused():
    assert not judge([]).promoted
    assert not judge([replace(f, new=None) for f in drive(1.0, 0.5)]).promoted


def test_true_errors_are_reported_beside_and_not_used():
    frames = drive(1.0, 0.5)
    verdict = judge(frames)
    # the mean length of a planar Gaussian error is sigma sqrt(pi / 2)
    assert verdict.truth_not_used["new"]["mean_m"] == pytest.approx(0.5 * math.sqrt(math.pi / 2), rel=0.1)
    hidden = judge([replace(f, truth=None) for f in frames])
    assert hidden.truth_not_used is None
    assert hidden.criteria == verdict.criteria


def test_the_gnss_bias_and_spread_are_those_of_the_receiver():
    found = measures(drive(0.05, 0.05, frames=400), new_answer)["gnss_m"]
    assert found["bias_east"] == pytest.approx(-6.0, abs=0.2)
    assert found["bias_north"] == pytest.approx(0.0, abs=0.2)
    assert found["spread"] == pytest.approx(1.0, abs=0.1)
    assert found["stated_sigma"] == 8.0


def test_a_link_is_measured_in_the_axes_of_its_end_and_forgives_a_wrong_compass():
    before = Answer(10.0, 0.0, math.pi / 2, COVARIANCE, 4.0)
    after = Answer(10.5, 4.0, math.pi / 2, COVARIANCE, 4.0)
    found = link(before, after, Displacement(3.0, 0.0, 3.0, 0.02, 0.0))
    assert (found.forward_m, found.left_m) == (pytest.approx(1.0), pytest.approx(-0.5))
    assert found.yaw_rad == pytest.approx(-0.02)
    lost = link(before, replace(after, east_m=500.0), Displacement(3.0, 0.0, 3.0, 0.0, 0.0))
    assert lost.distance_m == LARGEST_M


def test_blocks_are_not_linked():
    frames = drive(1.0, 1.0, frames=100, blocks=4)
    assert measures(frames, old_answer)["odometry_m"]["links"] == 96


def test_a_consistent_network_disagrees_with_odometry_by_two_on_average():
    frames = drive(0.5, 1.0, frames=600)
    # covariances say 0.5 m; odometry's own 5 percent of 2.5 m adds a little
    expected = 2 * 0.5 / (0.5 + (0.05 * STEP_M) ** 2)
    assert normalised_disagreement(frames, old_answer) == pytest.approx(expected, rel=0.12)
    assert normalised_disagreement(frames, new_answer) > 3 * expected


def test_the_temperature_grows_until_the_old_consistency_is_reached_and_never_falls():
    assert needed_inflation(lambda factor: 1.9 / factor, 2.0) == 1.0
    assert needed_inflation(lambda factor: 6.0 / factor, 2.0) == pytest.approx(3.0, rel=1e-3)
    assert needed_inflation(lambda factor: 100.0 / factor, 2.0) == math.inf
    assert needed_inflation(lambda factor: math.nan, 2.0) == math.inf


def test_a_warmer_estimate_has_the_wider_covariance_of_the_tempered_heat_map():
    axis = (np.arange(65) - 32) * 0.5
    p = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None] ** 2))[None]
    heatmap = HeatMap((p / p.sum()).astype(np.float32), GeoPoint(47, 8), 0.5, np.array([0.3]))
    blank = MapTile(np.zeros((65, 65, 3), np.uint8), np.ones((65, 65), bool), GeoPoint(47, 8), 0.5, "blank")
    config = EstimateConfig()
    cool = estimate(heatmap, blank, 5, config)
    warm = warmer(cool, 4.0, config)
    beside = 0.5**2 / 12 + config.map_sigma_m**2
    assert cool.covariance[0, 0] - beside == pytest.approx(1.0, rel=5e-3)
    assert warm.covariance[0, 0] - beside == pytest.approx(4.0, rel=5e-3)
    assert (warm.stamp_ns, warm.heatmap.probability.sum()) == (5, pytest.approx(1.0, abs=1e-5))


def test_the_manifest_says_that_its_calibration_belongs_to_other_weights():
    class Old:
        name = "tiny"
        calibration = Calibration(temperature=0.4, samples=200, fitted_on="a city", nll_before=3.0, nll_after=2.5)

    kept, raised = (earned_calibration(Old, factor, 60) for factor in (1.0, 1.5))
    assert (kept.temperature, raised.temperature) == (0.4, pytest.approx(0.6))
    assert kept.fitted_on.startswith("not fitted to these weights: kept from tiny (200 samples, a city")
    assert "raised 1.50 times" in raised.fitted_on


def test_every_fifth_block_is_held_out_and_a_gap_around_it_is_not_learned_from():
    along_m = np.arange(0.0, 1000.0, 10.0)
    places = np.stack([along_m, np.zeros(100)], axis=1)
    stamps = np.arange(100) + 1
    parts = divide(stamps, along_m, places, BagData(block_m=100, gap_m=50))
    assert [len(block) for block in parts.held] == [10, 10]
    assert parts.held[1][-1] == 100
    held = {s for block in parts.held for s in block}
    nearest = min(abs(a - b) * 10.0 for a in parts.learned for b in held)
    assert nearest > 50
    assert len(parts.learned) + len(held) + parts.dropped == 100


def test_a_road_that_is_driven_again_in_the_held_out_part_is_not_learned_from():
    along_m = np.arange(0.0, 1000.0, 10.0)
    # out and back on one road: the last block lies where the first does
    places = np.stack([np.minimum(along_m, 990 - along_m), np.zeros(100)], axis=1)
    parts = divide(np.arange(100) + 1, along_m, places, BagData(block_m=200, gap_m=20))
    first_m = min(places[s - 1, 0] for s in parts.learned)
    last_held_m = max(places[s - 1, 0] for s in parts.held[0])
    assert len(parts.held) == 1
    assert first_m > last_held_m + 20
