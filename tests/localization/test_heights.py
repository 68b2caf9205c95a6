# SPDX-License-Identifier: Apache-2.0
"""Uncertain camera heights: which are tried, how they are weighed, and who need not be asked twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geodistill_core.localization.heights import height_offsets, log_likelihood
from geodistill_core.models.base import CrossViewNetwork, GroundFeatures, GroundInput, mount_at_height
from geodistill_core.types import GroundImage

YAW = np.array([0.0])
RGB = np.full((64, 128, 3), 90, np.uint8)


class Recorder(CrossViewNetwork):
    """Logits of four cells, -(cell - height)^2 where `sees_height`; remembers the heights of its calls."""

    metres_per_pixel = metres_per_cell = 1.0
    template_extent_m = 1.0

    def __init__(self, sees_height):
        super().__init__()
        self.sees_height, self.encoded, self.matched = sees_height, [], []

    def prepare_ground(self, image):
        return GroundInput(torch.zeros(1), torch.zeros(1), torch.tensor([[0.7, -0.2, image.height_m]]))

    def encode_map(self, tiles):
        raise NotImplementedError

    def encode_ground(self, ground):
        self.encoded.append(float(ground.mount[0, 2]))
        return GroundFeatures(ground.pixels, ground.pixels, ground.mount)

    def at_height(self, ground, height_m):
        return replace(ground, mount=mount_at_height(ground.mount, height_m)) if self.sees_height else None

    def match(self, ground, map_features, yaw):
        assert ground.mount[0, :2].tolist() == pytest.approx([0.7, -0.2])
        self.matched.append(float(ground.mount[0, 2]))
        return -(torch.arange(4.0) - ground.mount[0, 2]).square().view(1, 1, 1, 4)


def answer(network, sigma_m, temperature=1.0):
    image = GroundImage.panorama(RGB, height_m=2.0, sigma_height_m=sigma_m)
    return log_likelihood(network, image, None, YAW, temperature)[0, 0]


def test_the_heights_tried_for_a_camera_at_2_5_m_known_to_30_cm():
    offset_m, weight = height_offsets(2.5, 0.3)
    assert offset_m == pytest.approx([-0.54, -0.36, -0.18, 0.0, 0.18, 0.36, 0.54])
    assert weight / weight[3] == pytest.approx([0.19790, 0.48675, 0.83527, 1.0, 0.83527, 0.48675, 0.19790], abs=1e-5)
    assert weight.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("height_m", "sigma_m"), [(2.5, 0.3), (1.4, 0.2), (2.0, 0.01), (0.2, 0.03)])
def test_neighbouring_heights_differ_by_no_more_than_a_thirteenth(height_m, sigma_m):
    offset_m, _ = height_offsets(height_m, sigma_m)
    assert len(offset_m) >= 3
    assert np.diff(offset_m).max() <= 0.0751 * height_m
    assert offset_m[-1] == pytest.approx(1.8 * sigma_m)


def test_no_uncertainty_asks_for_more_than_eleven_heights_or_one_below_half():
    offset_m, weight = height_offsets(1.5, 2.0)
    assert len(offset_m) == 11 and offset_m[0] == pytest.approx(-0.75)
    assert np.isfinite(weight).all()


def test_a_known_height_gives_the_networks_logits_to_the_last_bit():
    network = Recorder(sees_height=True)
    logits = -(torch.arange(4.0) - 2.0).square()
    np.testing.assert_array_equal(answer(network, 0.0, temperature=0.3), logits.double().numpy() / 0.3)
    assert (network.encoded, network.matched) == ([2.0], [2.0])


def test_the_likelihood_is_the_mean_over_heights_of_the_calibrated_likelihoods():
    network, temperature = Recorder(sees_height=True), 0.5
    found = np.exp(answer(network, 0.3, temperature))
    offset_m, weight = height_offsets(2.0, 0.3)
    cells = np.arange(4.0)
    expected = sum(w * np.exp(-((cells - 2.0 - d) ** 2) / temperature) for w, d in zip(weight, offset_m, strict=True))
    assert found == pytest.approx(expected, rel=1e-4)
    assert len(network.matched) == len(offset_m)


def test_the_image_is_encoded_once_from_the_lowest_height():
    network = Recorder(sees_height=True)
    answer(network, 0.3)
    assert network.encoded == pytest.approx([2.0 - 0.54])


def test_a_network_that_does_not_look_at_the_height_is_asked_once():
    network = Recorder(sees_height=False)
    answer(network, 0.3)
    assert len(network.encoded) == len(network.matched) == 1


def test_what_is_impossible_at_one_height_counts_at_the_others():
    class Blind(Recorder):
        def match(self, ground, map_features, yaw):
            logits = super().match(ground, map_features, yaw)
            logits[..., 0] = -torch.inf
            if float(ground.mount[0, 2]) < 2.0:
                logits[..., 1] = -torch.inf
            return logits

    found = answer(Blind(sees_height=True), 0.3)
    assert np.isneginf(found[0]) and np.isfinite(found[1:]).all()


def test_nan_at_one_height_is_not_averaged_away():
    class Broken(Recorder):
        def match(self, ground, map_features, yaw):
            logits = super().match(ground, map_features, yaw)
            return logits * torch.nan if len(self.matched) == 2 else logits

    assert np.isnan(answer(Broken(sees_height=True), 0.3)).all()
