# SPDX-License-Identifier: Apache-2.0
"""The probe drives any network of the contract, and tells different weights apart."""

import pytest
import torch

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.backbones.dinov2 import FrozenDinov2
from geodistill_core.models.probe import probe_deviation, probe_output
from geodistill_core.models.tiny import Tiny


class Small(Tiny):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(widths=(8, 8, 8, 8))
        self.eval()


class PinholeOnly(Small):
    def prepare_ground(self, image):
        if image.camera is None:
            raise ConfigError("no panoramas")
        return super().prepare_ground(image)


class OnBackbone(Small):
    def __init__(self):
        super().__init__()
        self.backbone = FrozenDinov2("no such folder", channels=24, blocks=(0, 1, 2, 3), positions="hub")

    def encode_map(self, tiles):
        self.seen = self.backbone.tokens(tiles.rgb)
        features = super().encode_map(tiles)
        features.features.mul_(1 + self.seen.classes[0].mean())
        return features


class Impossible(Small):
    def match(self, ground, map_features, yaw_enu_rad):
        return torch.full_like(super().match(ground, map_features, yaw_enu_rad), -torch.inf)


def test_the_same_seed_gives_the_same_output_and_another_seed_another():
    assert probe_output(Small(), 7) == probe_output(Small(), 7)
    assert probe_output(Small(), 7) != probe_output(Small(), 8)


def test_a_network_that_reads_pinhole_images_is_given_one():
    assert len(probe_output(PinholeOnly(), 7)) == 16


def test_seeded_tokens_stand_in_for_a_backbone_that_is_not_at_hand():
    network = OnBackbone()
    backbone = network.backbone
    assert probe_output(network, 7) == probe_output(network, 7)
    assert [x.shape for x in network.seen.patches] == [(1, 23, 23, 24)] * 4
    assert [x.shape for x in network.seen.classes] == [(1, 24)] * 4
    assert network.backbone is backbone


def test_a_network_that_rules_out_every_position_is_refused():
    with pytest.raises(CheckpointError, match="rules out every position"):
        probe_output(Impossible(), 7)


def test_the_deviation_is_a_share_of_the_largest_value():
    assert probe_deviation((100.0, 1.0), (100.0, 3.0)) == pytest.approx(0.02)
