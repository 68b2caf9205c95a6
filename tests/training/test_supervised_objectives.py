# SPDX-License-Identifier: Apache-2.0
"""The networks' own supervised losses at the truth that a batch states."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from geodistill_training.ccvpe_losses import ccvpe_loss
from geodistill_training.ccvpe_targets import camera_heatmaps
from geodistill_training.families import family_of
from geodistill_training.families.tiny import yaw_hypotheses
from geodistill_training.objectives.supervised import SupervisedObjective

from geodistill_core.datasets.heatmap_targets import gaussian, heading_volume, orientation_map
from geodistill_core.errors import ConfigError
from tests.training.small_networks import batch_for, recipe, small


def objective(name, **options):
    return SupervisedObjective(family_of(small(name)), recipe("supervised", supervised=options))


def with_levels(made, levels):
    made.family.heatmaps = lambda *_: levels
    return made


def test_a_set_without_truth_is_named():
    made = objective("tiny")
    with pytest.raises(ConfigError, match=r"street/0 comes without its true place"):
        made.loss(batch_for(made.family.network, truth=None))


@pytest.mark.parametrize(("name", "limit"), [("tiny", "15.8"), ("g2sweakly_vigor", "5.7"), ("ccvpe", "9.0")])
def test_a_truth_beyond_the_search_is_named_with_the_limit(name, limit):
    made = objective(name)
    batch = batch_for(made.family.network, truth=((1.0, 2.0, 0.0), (3.0, -31.0, 0.0)))
    with pytest.raises(ConfigError, match=rf"street/1: .* 3.0 m east and -31.0 m north .* {limit}.* m to each side"):
        made.loss(batch)


def test_overhead_networks_compare_the_true_cell_with_every_other_on_each_level():
    made = objective("g2sweakly_vigor")
    network, draw = made.family.network, torch.Generator().manual_seed(2)
    levels = tuple(torch.rand(2, 1, size, size, generator=draw) for size in (11, 40))
    # 2.3 m east and 1.2 m north: two cells of 1.132 m right and one up, eight cells of 0.283 m right and four up
    batch = batch_for(network, truth=((2.3, 1.2, 0.1), (2.3, 1.2, -0.1)))
    found, _ = with_levels(made, levels).loss(batch)
    expected = []
    for level, (row, column) in zip(levels, ((5 - 1, 5 + 2), (15, 28)), strict=True):
        for similarity in level[:, 0].double():
            terms = [math.log1p(math.exp(20 * float(s - similarity[row, column]))) for s in similarity.flatten()]
            expected.append(sum(terms) / (len(terms) - 1))
    assert float(found) == pytest.approx(sum(expected) / 4, rel=1e-4)


def test_kitti_and_ggcvt_add_their_levels_up():
    assert [objective(n).family.over_levels for n in ("g2sweakly_vigor", "ggcvt_vigor", "geodistill_kitti_vgg")] == [
        "mean",
        "sum",
        "sum",
    ]


def test_the_true_heading_is_looked_at():
    made = objective("g2sweakly_vigor")
    seen = []
    made.family.heatmaps = lambda ground, maps, yaw: seen.append(yaw) or tuple(torch.rand(2, 1, n, n) for n in (11, 40))
    made.loss(batch_for(made.family.network))
    torch.testing.assert_close(seen[0], torch.tensor([[0.3], [-0.2]]))


def test_ccvpe_learns_its_published_loss_at_the_camera():
    made = objective("ccvpe", sigma_cells=3.0)
    network = made.family.network.eval()
    truth = ((1.4, -2.8, math.pi / 2), (0.0, 0.7, 0.0))
    batch = batch_for(network, truth=truth)
    mount = torch.tensor(
        [[0.7, 0.0, 1.8], [0.0, 0.7, 1.8]]
    )  # ahead of a base that heads north, left of one heading east
    batch = replace(batch, ground=replace(batch.ground, mount=mount))
    found, _ = made.loss(batch)
    cameras = ((15.0, 10.0), (-10.0, 0.0))  # pixels south and east
    heatmaps = torch.stack([gaussian(s, e, size=128, sigma_px=3.0) for s, e in cameras])
    angles = (0.0, -90.0)
    volumes = torch.stack([heading_volume(h, a, 4) for h, a in zip(heatmaps, angles, strict=True)])
    field = torch.stack([orientation_map(a, 128) for a in angles])
    with torch.no_grad():
        output = network.forward_all(batch.ground, batch.maps)
    expected = ccvpe_loss(output, heatmaps[:, None], volumes, field)
    assert float(found.detach()) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(("pinhole", "south", "east"), [(False, -4.0, 12.0), (True, -3.0, 11.0)])
def test_published_labels_are_whole_pixels_rounded_on_vigor_and_cut_on_kitti(pinhole, south, east):
    network = small("ccvpe", geometry="compat")
    batch = batch_for(network, rows=1, truth=((11.6 * 0.14, 3.7 * 0.14, 0.0),))
    camera = torch.eye(3)[None] if pinhole else None
    heatmap = camera_heatmaps(network, replace(batch, ground=replace(batch.ground, intrinsics=camera)), 4.0)[0]
    torch.testing.assert_close(heatmap, gaussian(south, east, size=128, geometry="compat"))


def test_tiny_is_shown_two_headings_around_the_truth_and_wrong_ones_beyond_six_degrees():
    offsets, share = yaw_hypotheses([np.random.default_rng(seed) for seed in range(200)], 3, 45.0)
    degrees = torch.rad2deg(offsets)
    torch.testing.assert_close(degrees[:, 1] - degrees[:, 0], torch.full((200,), 3.0))
    torch.testing.assert_close(degrees[:, 0] + 3 * share, torch.zeros(200), atol=1e-5, rtol=0)
    wrong = degrees[:, 2:].abs()
    assert 6.0 <= float(wrong.min()) < 7.0
    assert 44.0 < float(wrong.max()) <= 45.0


def test_tiny_learns_place_and_heading_from_its_joint_heat_map():
    made = objective("tiny", wrong_yaws=2)
    network = made.family.network
    batch = batch_for(network)
    shown = []

    def similarity(ground, maps, yaw):
        shown.append(yaw)
        return torch.zeros(2, 4, 64, 64), torch.ones(2, 4, 64, 64)

    network.similarity = similarity
    loss, _ = made.loss(batch)
    assert float(loss) == pytest.approx(math.log(4 * 64 * 64), rel=1e-5)
    offsets = torch.rad2deg(shown[0] - batch.truth[:, 2:3])
    assert bool((offsets[:, 0] <= 0).all())
    assert bool((offsets[:, 1] >= 0).all())
    made.loss(batch)
    assert torch.equal(shown[0], shown[1])
