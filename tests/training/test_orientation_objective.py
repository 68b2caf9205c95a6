# SPDX-License-Identifier: Apache-2.0
"""Learning the heading: labels relative to the picture's reference, what lies beyond, what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from geodistill_training.data.examples import prepare
from geodistill_training.families import family_of
from geodistill_training.objectives.orientation import OrientationObjective
from geodistill_training.orientation_losses import orientation_loss

from geodistill_core.errors import ConfigError
from geodistill_core.models.orientation import OrientationNetwork
from geodistill_core.models.yaw_classes import YawClasses
from geodistill_core.types import GeoPoint, GroundImage, MapTile
from tests.training.small_networks import batch_for, recipe, small


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return OrientationNetwork()


def objective(network, logits):
    """The objective on given class logits."""
    made = OrientationObjective(family_of(network), recipe("orientation"))
    made.family.ground = made.family.maps = lambda _: None
    made.network = type("Given", (), {"classes": network.classes, "yaw_logits": lambda *_: logits})()
    return made


def batch(truth_deg, prior_deg):
    rows = zip(truth_deg, prior_deg, strict=True)
    made = batch_for(small("tiny"), rows=2, truth=((0.0, 0.0, 0.0),) * 2)
    truth, prior = torch.deg2rad(torch.tensor(list(rows))).unbind(1)
    return replace(made, truth=torch.stack([torch.zeros(2), torch.zeros(2), truth], dim=1), yaw_enu_rad=prior)


def test_the_label_is_how_much_further_the_heading_lies_than_its_prior(network):
    logits = torch.randn(2, 90, generator=torch.Generator().manual_seed(1))
    found, _ = objective(network, logits).loss(batch((100.0, -178.0), (80.0, 170.0)))
    expected = orientation_loss(logits, torch.deg2rad(torch.tensor([20.0, 12.0])), YawClasses(90, math.radians(90)))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_is_least_at_the_true_class_and_the_error_is_watched(network):
    logits = torch.zeros(2, 90)
    logits[0, 65], logits[1, 44] = 9.0, 9.0  # 20.5 degrees and -0.5 degrees from the prior
    _, watched = objective(network, logits).loss(batch((100.5, 0.0), (80.0, 0.5)))
    assert watched["error_deg"] == pytest.approx(0.0, abs=0.05)
    right, _ = objective(network, logits).loss(batch((100.5, 0.0), (80.0, 0.5)))
    wrong, _ = objective(network, logits).loss(batch((100.5, 0.0), (90.0, 0.5)))
    assert float(right) < float(wrong)


def test_headings_beyond_the_classes_are_left_out_and_counted(network):
    logits = torch.randn(2, 90, generator=torch.Generator().manual_seed(2))
    both, watched = objective(network, logits).loss(batch((10.0, 60.0), (0.0, 0.0)))
    alone = orientation_loss(logits[:1], torch.deg2rad(torch.tensor([10.0])), network.classes)
    assert float(both) == pytest.approx(float(alone), rel=1e-5)
    assert watched["beyond"] == 0.5
    with pytest.raises(
        ConfigError, match=r"street/0: the heading is 60\.0 degrees from its prior, the classes reach 45"
    ):
        objective(network, logits).loss(batch((60.0, -60.0), (0.0, 0.0)))


def test_a_set_without_headings_and_other_networks_are_refused(network):
    with pytest.raises(ConfigError, match="street/0 comes without its heading"):
        objective(network, None).loss(replace(batch((0.0, 0.0), (0.0, 0.0)), truth=None))
    with pytest.raises(ConfigError, match="'geodistill_orientation', not Tiny"):
        OrientationObjective(family_of(small("tiny")), recipe("orientation"))


def test_examples_are_drawn_for_their_heading_prior(network):
    draw = np.random.default_rng(1)
    mount = np.eye(4)
    mount[2, 3] = 1.8
    image = GroundImage(draw.integers(0, 256, (160, 320, 3), dtype=np.uint8), 0, mount)
    rgb, valid = draw.integers(0, 256, (512, 512, 3), dtype=np.uint8), np.ones((512, 512), np.bool_)
    tile = MapTile(rgb, valid, GeoPoint(49.0, 8.4), network.metres_per_pixel, "drawn")
    for yaw in (0.4, 2.0):
        example = prepare(network, image, tile, yaw, None, "one")
        expected = network.prepare_ground(image, yaw).pixels[0].permute(1, 2, 0) * 255
        np.testing.assert_array_equal(example.pixels, expected.round().byte().numpy())


def test_the_network_learns_by_its_own_logits(network):
    made = OrientationObjective(family_of(network), recipe("orientation"))
    pictures = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(4))
    one = batch_for(small("tiny"), rows=1, truth=((0.0, 0.0, 0.2),), prior=(0.0,))
    whole, scale = torch.ones(1, 512, 512), torch.tensor([network.metres_per_pixel])
    one = replace(
        one,
        ground=replace(one.ground, pixels=pictures, visible=whole),
        maps=replace(one.maps, rgb=pictures.flip(-1), valid=whole, metres_per_pixel=scale),
    )
    network.eval()
    loss, _ = made.loss(one)
    loss.backward()
    assert {name for name, p in network.named_parameters() if p.grad is None and "blocks.15" not in name} == set()
