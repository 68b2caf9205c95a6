# SPDX-License-Identifier: Apache-2.0
"""The papers' protocol with networks whose answer is known: where errors must come out, in which direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geodistill_core.bags.datasets.kitti import KittiSplit
from geodistill_core.bags.datasets.vigor import VigorSplit
from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.datasets.asked import Asked
from geodistill_core.evaluation.datasets.kitti_papers import KittiPapers
from geodistill_core.evaluation.datasets.paper import PaperJudge
from geodistill_core.evaluation.datasets.peak import peak
from geodistill_core.evaluation.datasets.question import PaperOptions
from geodistill_core.evaluation.datasets.vigor_papers import VigorPapers
from geodistill_core.evaluation.metrics import scored
from geodistill_core.localization.estimate import EstimateConfig
from geodistill_core.models import build
from geodistill_core.models.base import CrossViewNetwork, GroundInput
from geodistill_core.types import GeoPoint, HeatMap
from tests.evaluation.untrained import manifest_of
from tests.twins.kitti import SHARES
from tests.twins.trees import kitti_tree, vigor_tree

CELLS = 97


class Planted(CrossViewNetwork):
    """Answers that the vehicle is `right_m`, `up_m` from the tile's centre and heads as is believed."""

    metres_per_pixel, metres_per_cell, template_extent_m = 0.5, 0.5, 0.0

    def __init__(self, right_m=0.0, up_m=0.0, map_size_px=None, invalid=float("-inf")):
        super().__init__()
        self.map_size_px = map_size_px
        self.column, self.row = CELLS // 2 + round(2 * right_m), CELLS // 2 - round(2 * up_m)
        self.invalid, self.yaws, self.scales = invalid, [], []

    def prepare_ground(self, image):
        return GroundInput(torch.zeros(1, 3, 1, 1), torch.zeros(1, 1, 1), torch.zeros(1, 3))

    def encode_map(self, tiles):
        self.scales += tiles.metres_per_pixel.tolist()
        return len(tiles.rgb)

    def encode_ground(self, ground):
        return None

    def match(self, ground, map_features, yaw):
        self.yaws.append(yaw)
        logits = torch.full((map_features, yaw.shape[1], CELLS, CELLS), self.invalid)
        logits[:, yaw.shape[1] // 2, self.row, self.column] = 0.0
        return logits


def judged(samples, network, options):
    judge = PaperJudge(samples, network, manifest_of("planted"), options)
    return judge.answer([judge.load(i) for i in range(len(judge))])


def vigor_errors(network, options, split=None):
    samples = VigorPapers(vigor_tree()[0], split or VigorSplit("same", "test"), options)
    return scored(one.result for one in judged(samples, network, options))


def kitti_errors(network, options):
    samples = KittiPapers(kitti_tree()[0], KittiSplit("test1"), options)
    return scored(one.result for one in judged(samples, network, options))


def test_the_centre_of_a_vigor_tile_is_off_by_what_the_label_says():
    placed = vigor_tree()[1][1::2]
    for error, one in zip(vigor_errors(Planted(), PaperOptions()), placed, strict=True):
        # the vehicle heads north: ahead is north, left is west
        assert error.longitudinal_m == pytest.approx(-one.north_m, abs=1e-3)
        assert error.lateral_m == pytest.approx(one.east_m, abs=1e-3)
        assert error.yaw_rad == 0.0


def test_an_answer_east_and_north_of_a_tiles_centre_moves_the_error_there():
    # cells grow with the tile: whole tiles of 640 px at each city's scale are read as 512 px of 0.5 m
    network = Planted(8.0, 4.0, map_size_px=512)
    cell = 640 * 0.113248 / 512
    (error,) = vigor_errors(network, PaperOptions(), VigorSplit("same", "test", cities=("NewYork",)))
    placed = vigor_tree()[1][1]
    assert network.scales == pytest.approx([cell])
    assert error.east_m == pytest.approx(16 * cell - placed.east_m, abs=1e-3)
    assert error.north_m == pytest.approx(8 * cell - placed.north_m, abs=1e-3)


def test_panoramas_are_turned_within_the_range_and_the_believed_heading_is_north():
    errors = vigor_errors(Planted(), PaperOptions(45.0, seed=3), VigorSplit("cross", "test"))
    turned = np.degrees([error.yaw_rad for error in errors])
    assert (np.abs(turned) < 45.0).all() and np.ptp(turned) > 10.0
    again = vigor_errors(Planted(), PaperOptions(45.0, seed=3), VigorSplit("cross", "test", cities=("Chicago",)))
    assert [error.yaw_rad for error in again] == [error.yaw_rad for error in errors[2:]]


@pytest.mark.parametrize(("right_m", "up_m"), [(0.0, 0.0), (10.0, -5.0)])
@pytest.mark.parametrize("range_deg", [0.0, 10.0])
def test_kitti_errors_are_along_and_across_the_true_heading(right_m, up_m, range_deg):
    errors = kitti_errors(Planted(right_m, up_m), PaperOptions(range_deg))
    for error, (u, v, turn) in zip(errors, SHARES, strict=True):
        # the published convention: the camera right and up of the centre, then all is turned counter-clockwise
        theta = math.radians(turn * range_deg)
        c, s = math.cos(theta), math.sin(theta)
        right, up = right_m - 20 * (u * c - v * s), up_m - 20 * (u * s + v * c)
        assert error.longitudinal_m == pytest.approx(c * right + s * up, abs=1e-3)
        assert error.lateral_m == pytest.approx(-s * right + c * up, abs=1e-3)
        assert error.yaw_rad == pytest.approx(-theta, abs=1e-6)


def test_the_prior_of_a_kitti_frame_is_the_centre_of_its_tile():
    options = PaperOptions(10.0)
    for one in judged(KittiPapers(kitti_tree()[0], KittiSplit("test1"), options), Planted(), options):
        centre, prior = scored([one.result, one.center])
        assert (prior.east_m, prior.north_m) == pytest.approx((centre.east_m, centre.north_m), abs=1e-3)
        assert prior.yaw_rad == pytest.approx(centre.yaw_rad, abs=1e-6)


@pytest.mark.parametrize(
    ("range_deg", "expected"),
    [(0.0, [0.0]), (10.0, [-10, -7.5, -5, -2.5, 0, 2.5, 5, 7.5, 10]), (180.0, [*range(-180, 180, 3)])],
)
def test_the_heading_is_searched_evenly_over_the_range_and_no_further(range_deg, expected):
    network = Planted()
    kitti_errors(network, PaperOptions(range_deg))
    assert np.degrees(network.yaws[0].numpy()) == pytest.approx(np.array([expected, expected], float), abs=1e-4)


def test_the_answer_is_the_cell_that_is_best_over_all_headings_with_the_mean_heading_there():
    probability = np.zeros((3, 5, 5), np.float32)
    probability[1, 0, 0] = 0.3  # the single highest
    probability[0, 4, 3], probability[2, 4, 3] = 0.2, 0.2
    probability[0, 2, 2] = 0.3
    yaw = np.radians([170.0, 180.0, 190.0])
    found = peak(HeatMap(probability, GeoPoint(0.0, 0.0), 2.0, yaw), EstimateConfig())
    assert (found.east_m, found.north_m, found.mass) == pytest.approx((2.0, -4.0, 0.4))
    assert math.degrees(abs(found.yaw_enu_rad)) == pytest.approx(180.0)


@pytest.mark.parametrize(("invalid", "reason"), [(float("nan"), "nonfinite"), (float("-inf"), "no_map")])
def test_answers_that_are_none_are_counted(invalid, reason):
    network = Planted(right_m=1000.0 if reason == "no_map" else 0.0, invalid=invalid)
    network.column %= CELLS
    if reason == "no_map":
        network.match = lambda ground, maps, yaw: torch.full((maps, yaw.shape[1], 3, 3), -torch.inf)
    options = PaperOptions()
    samples = KittiPapers(kitti_tree()[0], KittiSplit("test1"), options)
    results = [one.result for one in judged(samples, network, options)]
    assert [result.dropped for result in results] == [reason, reason]
    assert all(result.truth is not None for result in results)


def test_a_batch_gives_what_its_samples_give_alone():
    options = PaperOptions(10.0)
    samples = VigorPapers(vigor_tree()[0], VigorSplit("same", "test"), options)
    torch.manual_seed(5)
    judge = PaperJudge(samples, build("tiny", widths=(8, 8, 8, 8)).eval(), manifest_of("tiny"), options)
    loaded = [judge.load(i) for i in range(len(judge))]
    together = scored(one.result for one in judge.answer(loaded))
    alone = scored(judge.answer([one])[0].result for one in loaded)
    for a, b in zip(together, alone, strict=True):
        assert (a.east_m, a.north_m) == pytest.approx((b.east_m, b.north_m), abs=1e-6)
        assert a.yaw_rad == pytest.approx(b.yaw_rad, abs=1e-4)


class Compass(Planted):
    """An orientation network that knows by how much the panorama was turned, and is half a degree off."""

    def __init__(self, turns_rad):
        super().__init__()
        self.turns_rad = turns_rad

    def prepare_ground(self, image, reference_yaw_enu_rad=0.0):
        return super().prepare_ground(image)

    def yaw(self, ground, map_features):
        return torch.tensor([math.pi / 2 + turn + math.radians(0.5) for turn in self.turns_rad])


def test_an_orientation_network_tells_the_one_heading_that_is_searched():
    options, split = PaperOptions(45.0, seed=3), VigorSplit("same", "test")
    samples = VigorPapers(vigor_tree()[0], split, options)
    turns = [-error.yaw_rad for error in vigor_errors(Planted(), options, split)]
    network = Planted()
    judge = PaperJudge(samples, network, manifest_of("planted"), options, Compass(turns))
    errors = scored(one.result for one in judge.answer([judge.load(i) for i in range(len(judge))]))
    assert network.yaws[0].shape == (4, 1)
    assert np.degrees([error.yaw_rad for error in errors]) == pytest.approx([0.5] * 4, abs=1e-3)


def test_the_exact_orientation_network_reads_tiles_at_its_own_scale():
    network = build("geodistill_orientation", metres_per_pixel=0.1)
    samples = VigorPapers(vigor_tree()[0], VigorSplit("same", "test", cities=("Seattle",)), PaperOptions())
    tile = samples.fitted(samples.question(0, network).tile, network)
    assert tile.metres_per_pixel == 0.1 and tile.valid.shape == (512, 512)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"protocol": "papers"}, "neither paper nor vehicle"),
        ({"gnss_sigma_m": 3.0}, "know no GNSS"),
        ({"protocol": "vehicle", "device": "cuda"}, "runs on the cpu"),
    ],
)
def test_questions_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Asked(**wrong)
