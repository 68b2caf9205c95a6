# SPDX-License-Identifier: Apache-2.0
"""Every family: gradients, agreement with what frames run, batch-wise contrast, headings, frozen backbones."""

import copy
import math
import re
from dataclasses import replace

import pytest
import torch
from geodistill_training.families import family_of
from geodistill_training.families.base import Family
from geodistill_training.objectives.make import make_objective
from geodistill_training.published_losses import batch_distances

from geodistill_core.errors import ConfigError
from geodistill_core.models.correlation import correlation_map
from geodistill_core.models.orientation import OrientationNetwork
from tests.training.small_networks import SMALL, SmallCcvpe, SmallRefined, SmallVigor, batch_for, recipe, small

# Heads of levels that are neither trained nor matched, and the scale that only the heat map's own loss learns.
UNUSED = {
    "tiny": r"log_scale$",
    "g2sweakly_vigor": r"decoders\.3|map_encoder\.confidence|ground_encoder\.confidence\.[13]",
    "geodistill_kitti_vgg": r"decoders\.3|map_encoder\.confidence|ground_encoder\.confidence\.[13]",
    "geodistill_vigor_dino": r"outlets\.1",
}
WEAK = ("tiny", "g2sweakly_vigor", "geodistill_kitti_vgg", "geodistill_vigor_dino")
SUPERVISED = ("ggcvt_vigor", "ccvpe")


def without_gradient(network):
    return {n for n, p in network.named_parameters() if p.grad is None or not bool(p.grad.any())}


def finite(network):
    return all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(("name", "method"), [(n, "weak") for n in WEAK] + [(n, "supervised") for n in SUPERVISED])
def test_an_objective_reaches_every_parameter_that_matching_uses(name, method):
    network = small(name)
    # What ran without gradients before, as validation does, must not stand in the way of gradients now.
    with torch.inference_mode():
        seen = batch_for(network)
        network.match(network.encode_ground(seen.ground), network.encode_map(seen.maps), seen.yaw_enu_rad[:, None])
    loss, _ = make_objective(method, family_of(network), recipe(method)).loss(batch_for(network))
    loss.backward()
    unused = UNUSED.get(name, r"$^")
    assert {n for n in without_gradient(network) if not re.search(unused, n)} == set()
    assert finite(network)


def test_the_pose_refiner_learns_through_the_heading_that_it_finds():
    torch.manual_seed(5)
    network = SmallRefined()
    batch = batch_for(network, rows=1, truth=((1.0, -2.0, 0.1),), prior=(0.15,))
    loss, _ = make_objective("supervised", family_of(network), recipe("supervised")).loss(batch)
    loss.backward()
    assert {n for n in without_gradient(network) if n.startswith("refiner.")} == set()
    assert finite(network)


@pytest.mark.parametrize("name", ["g2sweakly_vigor", "ggcvt_vigor"])
def test_the_last_heat_map_is_what_a_frame_answers_with(name):
    network = small(name).eval()
    family, batch, yaw = family_of(network), batch_for(network), torch.tensor([[0.2, 1.0], [2.0, -1.0]])
    with torch.no_grad():
        levels = family.heatmaps(family.ground(batch.ground), family.maps(batch.maps), yaw)
        framed = network.match(network.encode_ground(batch.ground), network.encode_map(batch.maps), yaw)
    torch.testing.assert_close(levels[-1], framed * network.temperature, atol=2e-4, rtol=1e-3)
    sizes = [level.shape[-1] for level in levels]
    assert len(levels) == len(network.levels)
    assert sizes == sorted(sizes)


def test_ccvpe_answers_with_its_scores_and_then_its_heat_map():
    network = small("ccvpe").eval()
    family, batch, quarter = family_of(network), batch_for(network), math.pi / 2
    with torch.no_grad():
        ground, maps = family.ground(batch.ground), family.maps(batch.maps)
        north = torch.full((2, 1), quarter)
        found = network.decode(ground, maps)
        drawn = tuple(torch.rand_like(volume) for volume in found.scores)  # untrained headings hardly differ
        output = replace(found, scores=drawn)
        network.decode = lambda *_: output
        levels = family.heatmaps(ground, maps, torch.cat([north, north + quarter / 2], dim=1))
        assert [level.shape[-1] for level in levels] == [2, 4, 8, 16, 32, 64, 128]
        torch.testing.assert_close(levels[0][:, 0], output.scores[0][:, 0])
        # an eighth of a turn counter-clockwise lies between channels 0 and 3: channel k is k quarters clockwise
        torch.testing.assert_close(levels[2][:, 1], output.scores[2][:, [0, 3]].mean(1))
        single = family.heatmaps(ground, maps, north)[-1]
        torch.testing.assert_close(single, network.match(ground, maps, north) * 0.1)


def test_ccvpe_with_an_orientation_prior_is_not_trained():
    with pytest.raises(ConfigError, match="without orientation_prior_deg"):
        family_of(SmallCcvpe(rolls=[-1, 0, 1]))


@pytest.mark.parametrize("name", ["ggcvt_vigor", "ccvpe"])
def test_networks_without_a_weak_objective_say_so(name):
    network = small(name)
    with pytest.raises(ConfigError, match=f"{type(network).__name__} has no weakly supervised objective"):
        make_objective("weak", family_of(network), recipe()).loss(batch_for(network))


def test_contrast_looks_at_the_published_batch_wise_correlation_of_all_levels():
    network = small("g2sweakly_vigor", geometry="compat").eval()
    family, batch = family_of(network), batch_for(network)
    with torch.no_grad():
        ground, maps = family.ground(batch.ground), family.maps(batch.maps)
        levels = family.nearest(ground, maps, batch.yaw_enu_rad, batch.maps.metres_per_pixel)
        for number, best in zip(network.levels, levels, strict=True):
            found = network.template(ground, number, batch.yaw_enu_rad[:, None], batch.maps.metres_per_pixel)
            template, confidence = (x[:, 0] for x in found)
            distances = batch_distances(correlation_map(maps.features[number]), template, confidence)
            torch.testing.assert_close(2 - 2 * best, distances.flatten(-2).amin(-1))
        own = family.own_nearest(ground, maps, batch.yaw_enu_rad[:, None])
    torch.testing.assert_close(own[-1][:, 0], levels[-1].diagonal(), atol=1e-4, rtol=1e-4)


def test_each_image_is_laid_out_at_the_scale_of_its_own_tile():
    network = small("g2sweakly_vigor").eval()
    family, batch = family_of(network), batch_for(network)
    with torch.no_grad():
        ground, maps = family.ground(batch.ground), family.maps(batch.maps)
        fine = family.nearest(ground, maps, batch.yaw_enu_rad, torch.tensor([0.14, 0.14]))[-1]
        mixed = family.nearest(ground, maps, batch.yaw_enu_rad, torch.tensor([0.14, 0.11]))[-1]
    torch.testing.assert_close(mixed[:, 0], fine[:, 0])
    assert float((mixed[:, 1] - fine[:, 1]).abs().min()) > 1e-5


def test_only_exact_geometry_turns_tiles_and_turns_their_features_back():
    assert family_of(SmallVigor("compat")).turns == 1
    network = small("g2sweakly_vigor").eval()
    family, batch = family_of(network), batch_for(network)
    assert family.turns == 8
    batch.maps.rgb.zero_()
    spotted = replace(batch.maps, rgb=batch.maps.rgb.clone())
    spotted.rgb[:, :, 16:32, 80:112] = 1.0
    for turn in (0, 1, 5):
        with torch.no_grad():
            change = family.maps(spotted, turn).features[2] - family.maps(batch.maps, turn).features[2]
        strongest = change.abs().sum(1).flatten(1).argmax(1)
        row, column = int(strongest[0]) // 64, int(strongest[0]) % 64
        assert 4 <= row < 20
        assert 36 <= column < 60


def test_invalid_positions_give_the_scale_of_tiny_no_gradient():
    network = small("tiny")
    family, batch = family_of(network), batch_for(network)
    batch.maps.valid[:, :, 20:] = 0
    level = family.heatmaps(family.ground(batch.ground), family.maps(batch.maps), batch.yaw_enu_rad[:, None])[0]
    assert bool(level.isneginf().any())
    assert not bool(level.isneginf().all())
    level[level.isfinite()].sum().backward()
    assert finite(network)


def test_students_and_teachers_share_a_backbone_that_no_state_dict_holds():
    network = small("geodistill_vigor_dino")
    copied = copy.deepcopy(network)
    real = type(network).__mro__[1]()
    assert copy.deepcopy(real).backbone is real.backbone
    assert not [name for name in copied.state_dict() if "backbone" in name]


def test_bfloat16_encoders_leave_matching_in_float32():
    network = small("g2sweakly_vigor")
    family, batch = family_of(network, autocast=True), batch_for(network)
    levels = family.heatmaps(family.ground(batch.ground), family.maps(batch.maps), batch.yaw_enu_rad[:, None])
    assert {level.dtype for level in levels} == {torch.float32}
    exact = family_of(network)
    with torch.no_grad():
        expected = exact.heatmaps(exact.ground(batch.ground), exact.maps(batch.maps), batch.yaw_enu_rad[:, None])
    torch.testing.assert_close(levels[-1].detach(), expected[-1], atol=0.02, rtol=0.02)


def test_the_orientation_network_has_no_positions_to_train():
    family = family_of(OrientationNetwork.__new__(OrientationNetwork))
    assert not family.locates
    with pytest.raises(ConfigError, match="method: orientation"):
        Family.own_nearest(family, None, None, torch.zeros(1, 1))


def test_every_small_network_has_a_family_that_locates():
    assert all(family_of(small(name)).locates for name in SMALL if name != "geodistill_vigor_dino")
