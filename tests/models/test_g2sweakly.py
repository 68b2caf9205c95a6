# SPDX-License-Identifier: Apache-2.0
"""G2SWeakly's and GeoDistill's VGG networks: published keys, what a frame computes, the panorama's seam."""

import math
from dataclasses import replace

import pytest
import torch

from geodistill_core.errors import ConfigError
from geodistill_core.models.backbones.vgg_unet import unit_norm
from geodistill_core.models.base import GroundInput, MapInput, mount_at_height
from geodistill_core.models.g2sweakly import G2SWeaklyKitti, G2SWeaklyVigor
from geodistill_core.models.geodistill_vgg import GeoDistillKittiVgg
from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.registry import architecture, build

NORTH = math.pi / 2
INNER = [f"conv{n}.{what}" for n in (0, 2, 5, 7, 10, 12, 14) for what in ("weight", "bias")]
INNER += [f"conv_dec{level}.{n}.weight" for level in (1, 2, 3) for n in (1, 3)]
INNER += [f"conf{level}.1.weight" for level in range(4)]


class SmallVigor(G2SWeaklyVigor):
    image_size = (64, 128)
    map_size_px = 128


class SmallKitti(G2SWeaklyKitti):
    image_size = (64, 256)
    map_size_px = 128


class SmallGeoDistill(GeoDistillKittiVgg):
    image_size = (64, 256)
    map_size_px = 128


def tile(network, count=1, seed=1):
    size, generator = network.map_size_px, torch.Generator().manual_seed(seed)
    resolution = torch.full((count,), network.metres_per_pixel)
    return MapInput(torch.rand(count, 3, size, size, generator=generator), torch.ones(count, size, size), resolution)


def picture(network, count=1, seed=2):
    height, width = network.image_size
    pixels = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))
    camera = torch.tensor([[60.0, 0.0, width / 2], [0.0, 60.0, height / 2], [0.0, 0.0, 1.0]])
    intrinsics = None if network.panoramic else camera.expand(count, 3, 3)
    return GroundInput(pixels, torch.ones(count, height, width), torch.tensor([[0.0, 0.0, 1.8]] * count), intrinsics)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(5)


@pytest.mark.parametrize("kind", [SmallVigor, SmallKitti, SmallGeoDistill])
@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_a_frame_encodes_some_rows_and_matches_as_with_all(kind, geometry):
    network = kind(geometry=geometry).eval()
    tiles, image, yaw = tile(network, 2), picture(network, 2), torch.tensor([[0.0, 0.7], [NORTH, 3.0]])
    with torch.inference_mode():
        maps, frame = network.encode_map(tiles), network.encode_ground(image)
        logits = network.match(frame, maps, yaw)
        whole = network.match(network.ground_features(image, (2,)), maps, yaw)
    assert frame.first_row[2] > 10
    assert logits.shape == (2, 2, 40, 40)
    assert torch.allclose(logits, whole, atol=1e-4)
    assert float(logits.std()) > 1e-3


@pytest.mark.parametrize("columns", [16, -40, 64])
def test_rolling_the_panorama_is_turning_the_vehicle(columns):
    """Columns that crossed the seam are seen alike: content rolled to the right is a heading further to the left."""
    network = SmallVigor().eval()
    image, yaw = picture(network), torch.tensor([[0.4]])
    rolled = GroundInput(image.pixels.roll(columns, dims=-1), image.visible, image.mount)
    resolution = torch.tensor([network.metres_per_pixel])
    with torch.inference_mode():
        here, there = network.encode_ground(image), network.encode_ground(rolled)
        features, confidence = network.template(here, 2, yaw, resolution)
        turned, weights = network.template(there, 2, yaw + columns / 128 * 2 * math.pi, resolution)
    away_from_nadir = torch.ones(25, 25)
    away_from_nadir[12, 12] = 0  # straight below the camera there is no bearing
    wanted, got = (unit_norm(x[:, 0] * away_from_nadir) for x in (features, turned))
    assert float((got - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    assert float((confidence - weights).abs().max()) < 1e-3


def test_shared_encoder_serves_both_images():
    separate, shared = SmallVigor(), SmallVigor(shared=True)
    assert 2 * sum(p.numel() for p in shared.parameters()) == sum(p.numel() for p in separate.parameters())
    separate.map_encoder.load_state_dict(shared.map_encoder.state_dict())
    separate.ground_encoder.load_state_dict(shared.map_encoder.state_dict())
    yaw = torch.tensor([[0.3]])
    with torch.inference_mode():
        logits = [n.match(n.encode_ground(picture(n)), n.encode_map(tile(n)), yaw) for n in (separate, shared)]
    assert torch.equal(*logits)


@pytest.mark.parametrize(
    ("name", "which", "used", "unused"),
    [
        ("g2sweakly_vigor", 0, ("SatFeatureNet", "GrdFeatureNet"), ("SatFeatureForT", "GrdFeatureForT")),
        ("g2sweakly_vigor", 1, ("FeatureForT",), ("SatFeatureNet", "GrdFeatureNet")),
        ("geodistill_kitti_vgg", 0, ("sat_VGG", "grd_VGG"), ()),
    ],
)
def test_published_keys_fill_the_network_and_nothing_else(name, which, used, unused):
    published = architecture(name).published[which]
    keys = [f"{prefix}.{inner}" for prefix in (*used, *unused) for inner in INNER]
    keys += ["TransRefine.level_1.head.bias", "coe_R", "coe_T"] if unused else []
    values = {key: torch.tensor(float(index)) for index, key in enumerate(keys)}
    renamed = rename(values, published.keys, published.unused)
    assert renamed.keys() == build(name, **published.arguments).state_dict().keys()
    deepest = renamed["map_encoder.decoders.3.refine.weight"]
    assert deepest == values[f"{used[0]}.conv_dec3.3.weight"]


def test_sizes_in_metres():
    vigor = build("g2sweakly_vigor", geometry="compat")
    assert vigor.metres_per_cell == pytest.approx(0.28312)
    assert vigor.template_extent_m == pytest.approx(102 * 0.28312)
    assert vigor.heatmap_shift_cells == (-0.5, -0.5)
    assert build("g2sweakly_kitti").template_extent_m == pytest.approx(102 * 2 * 0.1958289, rel=1e-5)
    drawn_wide, exact = build("geodistill_kitti_vgg", geometry="compat"), build("geodistill_kitti_vgg")
    assert drawn_wide.metres_per_cell == pytest.approx(0.391657, rel=1e-5)
    assert drawn_wide.level(2).drawn_stride * drawn_wide.metres_per_pixel == pytest.approx(0.783314, rel=1e-5)
    assert exact.metres_per_cell == pytest.approx(0.783314, rel=1e-5)


def test_training_reaches_both_encoders():
    network = SmallGeoDistill().train()
    loss = network.match(network.encode_ground(picture(network)), network.encode_map(tile(network)), torch.zeros(1, 1))
    loss.square().mean().backward()
    for encoder in (network.map_encoder, network.ground_encoder):
        assert float(encoder.encoder.conv0.weight.grad.abs().max()) > 0
    assert float(network.ground_encoder.confidence[2].weight.grad.abs().max()) > 0


@pytest.mark.parametrize("kind", [SmallVigor, SmallKitti])
@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_ground_encoded_from_below_serves_every_greater_height(kind, geometry):
    network = kind(geometry=geometry).eval()
    tiles, image, yaw = tile(network), picture(network), torch.tensor([[0.7]])
    with torch.inference_mode():
        maps = network.encode_map(tiles)
        lowest = network.encode_ground(replace(image, mount=mount_at_height(image.mount, 1.2)))
        moved = network.match(network.at_height(lowest, 1.8), maps, yaw)
        taken = network.match(network.encode_ground(image), maps, yaw)
        stayed = network.match(lowest, maps, yaw)
    assert torch.allclose(moved, taken, atol=1e-4)
    assert not torch.allclose(stayed, taken, atol=1e-2)


def test_a_height_from_which_too_few_rows_were_encoded_is_refused():
    network = SmallVigor().eval()
    with torch.inference_mode():
        ground = network.encode_ground(picture(network))
        with pytest.raises(ConfigError, match=r"from 1\.20 m .* lowest height"):
            network.at_height(ground, 1.2)
