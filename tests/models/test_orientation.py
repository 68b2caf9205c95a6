# SPDX-License-Identifier: Apache-2.0
"""The orientation network's contract: halves add up, the reference heading shifts answers, inputs are scaled."""

import math
import re

import numpy as np
import pytest
import torch

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.orientation import (
    PUBLISHED_KEYS,
    UNUSED_KEYS,
    OrientationGround,
    OrientationMap,
    OrientationNetwork,
)
from geodistill_core.types import CameraModel, GeoPoint, GroundImage, MapTile, forward_optical_mount

NORTH = math.pi / 2
PIXELS = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(1))
VISIBLE = torch.ones(2, 512, 512)


def tiles(network):
    return MapInput(PIXELS.flip(-1), VISIBLE, torch.full((2,), network.metres_per_pixel))


def ground():
    return GroundInput(PIXELS, VISIBLE, torch.tensor([[0.0, 0.0, 2.0]]).expand(2, -1))


@pytest.fixture(scope="module")
def exact():
    torch.manual_seed(3)
    network = OrientationNetwork().eval()
    for weight in network.parameters():
        if weight.ndim >= 2:  # the default initialisation lets signals die out on their way through the trunk
            torch.nn.init.kaiming_normal_(weight)
    return network


@pytest.fixture(scope="module")
def compat(exact):
    network = OrientationNetwork(geometry="compat").eval()
    network.load_state_dict(exact.state_dict())
    return network


@pytest.fixture(scope="module")
def encoded(exact):
    with torch.no_grad():
        return exact.encode_ground(ground()), exact.encode_map(tiles(exact))


@torch.no_grad()
def test_cached_halves_add_up_to_the_convolution_of_both_features(exact, encoded):
    both = torch.cat([exact.map_features(PIXELS.flip(-1)), exact.ground_features(PIXELS)], dim=1)
    assert both.std() > 1e-3
    wanted = torch.relu(exact.fusion_norm(exact.fusion(both)))
    assert (exact.fused(*encoded) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_match_is_a_distribution_over_the_classes(exact, encoded):
    yaws = (NORTH + exact.class_yaws()).expand(2, -1)
    log_p = exact.match(*encoded, yaws)
    assert log_p.shape == (2, 90, 1, 1)
    assert torch.allclose(log_p.exp().sum(1).flatten(), torch.ones(2), atol=1e-3)
    assert torch.allclose(log_p[..., 0, 0], exact.yaw_logits(*encoded).log_softmax(1), atol=1e-4)


def told(network, peak_deg, reference):
    """A network whose classifier answers `peak_deg` whatever it sees, and its encodings."""
    with torch.no_grad():
        network.classifier[-1].weight.zero_()
        away = torch.rad2deg(network.class_yaws()) - peak_deg
        network.classifier[-1].bias.copy_(-(torch.remainder(away + 180, 360) - 180).square() / 2)
    half = torch.zeros(len(reference), 192, 16, 16)
    return OrientationGround(half, torch.tensor(reference)), OrientationMap(half)


@torch.no_grad()
def test_heading_is_the_reference_plus_the_offset_counter_clockwise():
    network = OrientationNetwork().eval()
    views = told(network, 12.3, [NORTH, 0.0, 3.1])
    wanted = np.array([NORTH, 0.0, 3.1]) + math.radians(12.3)
    wanted = (wanted + math.pi) % (2 * math.pi) - math.pi
    assert network.yaw(*views).tolist() == pytest.approx(wanted.tolist(), abs=1e-3)
    candidates = torch.from_numpy(wanted)[:, None] + torch.deg2rad(torch.tensor([-3.0, 0.0, 3.0]))
    assert (network.match(*views, candidates.float()).flatten(1).argmax(1) == 1).all()


@torch.no_grad()
def test_the_full_circle_wraps_around():
    network = OrientationNetwork(classes=360, range_deg=360.0).eval()
    views = told(network, 179.7, [NORTH])
    found = network.match(*views, NORTH + torch.deg2rad(torch.tensor([[179.7, -180.3, 170.0]])))
    assert found[0, 0] == pytest.approx(float(found[0, 1]), abs=1e-2)
    assert found[0, 0] > found[0, 2] + 1
    assert math.degrees(network.yaw(*views)) == pytest.approx(-90.3, abs=0.05)


def test_plain_ground_input_is_taken_as_drawn_northward(encoded):
    assert encoded[0].reference_yaw_enu_rad.tolist() == pytest.approx([NORTH, NORTH])


def drawn(network, yaw, reference):
    """A panorama with a white spot on the ground 6 m ahead, drawn for the reference heading; spot's place (E, N)."""
    rgb = np.zeros((512, 1024, 3), np.uint8)
    row = round(512 * (0.5 + math.atan2(2.0, 6.0) / math.pi))
    rgb[row - 2 : row + 3, 509:515] = 255
    picture = network.prepare_ground(GroundImage.panorama(rgb), reference)
    assert float(picture.reference_yaw_enu_rad) == pytest.approx(reference)
    weight = picture.pixels[0, 0].double()
    axis = (torch.arange(512) - 255.5) * network.metres_per_pixel
    return float((weight.sum(0) * axis).sum() / weight.sum()), float(-(weight.sum(1) * axis).sum() / weight.sum())


@pytest.mark.parametrize("reference", [NORTH, 0.0, 2.5])
def test_what_lies_ahead_is_drawn_in_the_direction_of_the_reference(exact, reference):
    east, north = drawn(exact, reference, reference)
    assert (east, north) == pytest.approx((6 * math.cos(reference), 6 * math.sin(reference)), abs=0.3)


def test_published_pictures_turn_with_the_reference_too(compat):
    east, north = drawn(compat, 0.0, 0.0)
    assert abs(north) < 0.3 and east > 6


def test_a_pinhole_image_is_black_where_the_camera_saw_nothing(exact):
    camera = CameraModel(640, 384, np.array([[400.0, 0, 320], [0, 400, 150], [0, 0, 1]]))
    image = GroundImage.pinhole(np.full((384, 640, 3), 200, np.uint8), camera, forward_optical_mount(1.6))
    picture = exact.prepare_ground(image)
    assert 0.05 < picture.visible.mean() < 0.5
    assert picture.pixels[:, :, 260:].max() == 0  # south of a northbound vehicle
    assert (picture.pixels[0, 0] > 0).float().mean() == pytest.approx(float(picture.visible.mean()), abs=0.01)


@torch.no_grad()
def test_exact_trunks_read_normalised_pixels_and_published_ones_raw(exact, compat):
    rgb = PIXELS[:1, :, :64, :64]
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    for network, wanted in ((exact, (rgb - mean) / std), (compat, 255 * rgb)):
        features = network.ground_trunk(wanted, [14])[0]
        assert features.abs().max() > 0
        assert (network.ground_features(rgb) - features).abs().max() < 1e-3 * features.abs().max()


def test_tiles_of_another_scale_are_refused(exact, compat):
    other = MapInput(PIXELS[:1], VISIBLE[:1], torch.tensor([0.148]))
    with pytest.raises(ConfigError, match=r"0\.148.*build the network"):
        exact.encode_map(other)
    with torch.no_grad():
        assert compat.encode_map(other).half.isfinite().all()


def test_tiles_of_another_size_are_refused(exact):
    tile = MapTile(np.zeros((256, 256, 3), np.uint8), np.ones((256, 256), bool), GeoPoint(0, 0), 0.126, "small")
    with pytest.raises(ConfigError, match="512"):
        exact.prepare_map(tile)


def test_published_keys_find_their_places_and_the_idle_heads_are_left_out(exact):
    names = {
        "sat_efficientnet._conv_stem.weight": "map_trunk.stem.conv.weight",
        "grd_efficientnet._blocks.3._bn1.bias": "ground_trunk.blocks.3.depthwise.norm.bias",
        "fusion_layer.0.weight": "fusion.weight",
        "fusion_layer.1.running_var": "fusion_norm.running_var",
        "fc.4.bias": "classifier.4.bias",
    }
    idle = ["sat_efficientnet._conv_head.weight", "grd_efficientnet._bn1.running_mean"]
    found = rename(dict.fromkeys([*names, *idle], torch.zeros(1)), PUBLISHED_KEYS, UNUSED_KEYS)
    assert set(found) == set(names.values())
    assert set(found) <= set(exact.state_dict())
    assert not any(re.search(r"\.head\.", key) for key in exact.state_dict())


def test_gradients_reach_every_weight_that_is_used():
    network = OrientationNetwork(classes=12).train()
    logits = network.yaw_logits(network.encode_ground(ground()), network.encode_map(tiles(network)))
    logits.square().sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None]
    assert idle and all(".blocks.15." in name for name in idle)
