# SPDX-License-Identifier: Apache-2.0
"""GeoDistill's DINOv2 networks: geometry of their features, what a frame computes, colours, published keys."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from geodistill_core.errors import CheckpointError
from geodistill_core.models.backbones.dpt import Tokens
from geodistill_core.models.backbones.patches import pad_to_patches
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.geodistill_dino import GeoDistillKittiDino, GeoDistillVigorDino
from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.registry import architecture, build

CHANNELS = 4
KITTI_CAMERA = torch.tensor([[582.9802, 0.0, 496.2420], [0.0, 482.7076, 125.0034], [0.0, 0.0, 1.0]])
RESIDUALS = ["ref_0.resConfUnit1", "ref_1.resConfUnit1", "ref_2.resConfUnit1"]
RESIDUALS += [f"ref_{k}.resConfUnit2" for k in range(4)]
INNER = [f"conv_{k}" for k in range(4)] + [f"{unit}.conv.{n}" for unit in RESIDUALS for n in (0, 2)]
INNER += [f"out_conv_{k}.{n}" for k in (1, 2, 3) for n in (0, 2)]


class PatchMeans:
    """In place of the vision transformer: random projections of each patch's colours."""

    def __init__(self):
        self.seen = []
        self.mix = torch.randn(4, CHANNELS, 3, generator=torch.Generator().manual_seed(3))

    def tokens(self, images):
        self.seen.append(images)
        means = torch.nn.functional.avg_pool2d(pad_to_patches(images), 14).permute(0, 2, 3, 1)
        patches = [means @ m.T for m in self.mix]
        return Tokens(patches, [p.mean(dim=(1, 2)) for p in patches])


class SmallVigor(GeoDistillVigorDino):
    channels = CHANNELS
    image_size = (64, 128)
    map_size_px = 128


class SmallKitti(GeoDistillKittiDino):
    channels = CHANNELS
    image_size = (64, 256)


def small(kind, geometry="corrected"):
    torch.manual_seed(0)
    network = kind(geometry=geometry).eval()
    network.backbone = PatchMeans()
    return network


def inputs(network, count=2):
    generator = torch.Generator().manual_seed(1)
    size, (height, width) = network.map_size_px, network.image_size
    resolution = torch.full((count,), network.metres_per_pixel)
    tiles = MapInput(torch.rand(count, 3, size, size, generator=generator), torch.ones(count, size, size), resolution)
    scale = torch.tensor([width / 1024, height / 256, 1.0]).unsqueeze(1)
    camera = None if network.panoramic else (KITTI_CAMERA * scale).expand(count, 3, 3)
    pixels = torch.rand(count, 3, height, width, generator=generator)
    mount = torch.tensor([[0.0, 0.0, 1.65]] * count)
    return tiles, GroundInput(pixels, torch.ones(count, height, width), mount, camera)


@pytest.mark.parametrize("kind", [SmallVigor, SmallKitti])
@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_a_frame_computes_some_rows_and_matches_as_with_all(kind, geometry):
    network = small(kind, geometry)
    tiles, ground = inputs(network)
    yaw = torch.tensor([[0.0, 0.7], [1.5, 3.0]])
    with torch.inference_mode():
        maps, frame = network.encode_map(tiles), network.encode_ground(ground)
        logits = network.match(frame, maps, yaw)
        whole = network.match(network.ground_features(ground, (2,)), maps, yaw)
    assert frame.first_row[2] > 0
    assert frame.features[2].shape[-2] == network.level(2).ground_size[0] - frame.first_row[2]
    assert float(logits.std()) > 1e-3
    torch.testing.assert_close(logits, whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", [SmallVigor, SmallKitti])
@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_levels_promise_the_sizes_that_the_heads_deliver(kind, geometry):
    network = small(kind, geometry)
    tiles, ground = inputs(network, 1)
    with torch.inference_mode():
        maps, frame = network.map_features(tiles, (0, 1, 2)), network.ground_features(ground, (0, 1, 2))
    for number in (0, 1, 2):
        level = network.level(number)
        assert maps.features[number].shape[-2:] == (level.map_cells, level.map_cells)
        assert frame.features[number].shape[-2:] == level.ground_size


def _world(east, north):
    """Sixteen smooth functions of the place [C, ...]."""
    generator = torch.Generator().manual_seed(7)
    directions = torch.rand(16, generator=generator) * 2 * math.pi
    waves = 2 * math.pi / (5 + 7 * torch.rand(16, generator=generator))
    phases = torch.rand(16, generator=generator) * 2 * math.pi
    shape = (16, *[1] * east.dim())
    kx, ky = (waves * directions.cos()).view(shape), (waves * directions.sin()).view(shape)
    return torch.sin(kx * east + ky * north + phases.view(shape))


def _ideal_map(network):
    """What an ideal head would put into the map's finest features."""
    level, size = network.level(2), network.map_size_px
    stride = 14 / 8
    left = (level.map_cells * stride - size) / 2
    place = ((torch.arange(level.map_cells) + 0.5) * stride - left - size / 2) * network.metres_per_pixel
    return _world(place.view(1, -1), -place.view(-1, 1)).unsqueeze(0)


def _ideal_ground(network, ground, here, yaw):
    """The same for a ground image taken `here` (east, north) under `yaw`."""
    (rows, columns), stride = network.level(2).ground_size, 14 / 8
    (height, width), camera_height = network.image_size, float(ground.mount[0, 2])
    x = (torch.arange(columns) + 0.5) * stride - (columns * stride - width) / 2
    y = (torch.arange(rows) + 0.5).view(-1, 1) * stride - (rows * stride - height) / 2
    if network.panoramic:
        below = (y / height - 0.5) * math.pi
        distance = camera_height / below.clamp(min=1e-3).tan()
        angle = -(x / width - 0.5) * 2 * math.pi
        forward, left = distance * angle.cos(), distance * angle.sin()
    else:
        K = ground.intrinsics[0]
        forward = K[1, 1] * camera_height / (y - 0.5 - K[1, 2]).clamp(min=1e-3) + 0 * x
        left = -(x - 0.5 - K[0, 2]) * forward / K[0, 0]
    east = here[0] + forward * math.cos(yaw) - left * math.sin(yaw)
    north = here[1] + forward * math.sin(yaw) + left * math.cos(yaw)
    return _world(east, north).unsqueeze(0)


@pytest.mark.parametrize(("kind", "least"), [(GeoDistillVigorDino, 0.986), (GeoDistillKittiDino, 0.997)])
@pytest.mark.parametrize("yaw", [math.pi / 2, 0.3])
def test_ideal_features_are_found_where_the_vehicle_is(kind, least, yaw, monkeypatch):
    """Exact geometry: strides, padding, seam and the grid of positions agree; two columns of padding already tell.

    A panorama's coarse rows far from the camera cost it the last percent.
    """
    monkeypatch.setattr(kind, "channels", CHANNELS)
    network = kind().eval()
    tiles, ground = inputs(network, 1)
    positions = network.level(2).map_cells - network.level(2).template + 1
    half = (positions - 1) / 2 % 1
    right, down = 9 + half, -6 + half
    here = (right * network.metres_per_cell, -down * network.metres_per_cell)
    ideal = _ideal_ground(network, ground, here, yaw)
    monkeypatch.setattr(network, "map_levels", lambda rgb, levels: {2: _ideal_map(network)})
    monkeypatch.setattr(network, "ground_levels", lambda pixels, first: {2: (ideal[:, :, first[2] :], None)})
    with torch.inference_mode():
        logits = network.match(network.encode_ground(ground), network.encode_map(tiles), torch.tensor([[yaw]]))
    best = int(logits.argmax())
    found = (best % positions - (positions - 1) / 2, best // positions - (positions - 1) / 2)
    assert found == (right, down)
    assert float(logits.max()) * network.temperature > least


@pytest.mark.parametrize(("kind", "low", "high"), [(SmallVigor, -1.0, 1.0), (SmallKitti, 0.0, 1.0)])
def test_published_conventions_feed_raw_colours(kind, low, high):
    network = small(kind, "compat")
    network.map_levels(torch.tensor([0.0, 1.0, 0.5]).view(1, 3, 1, 1).expand(-1, -1, 28, 28), (2,))
    seen = network.backbone.seen[0][0, :, 0, 0]
    assert seen.tolist() == pytest.approx([low, high, (low + high) / 2])


def test_exact_networks_feed_colours_as_the_transformer_was_trained():
    network = small(SmallVigor)
    network.map_levels(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(-1, -1, 28, 28), (2,))
    assert float(network.backbone.seen[0].abs().max()) < 1e-6


@pytest.mark.parametrize(("geometry", "rule"), [("compat", "hub"), ("corrected", "library")])
def test_position_rule_follows_the_geometry(geometry, rule):
    assert SmallVigor(geometry=geometry).backbone.positions == rule


def test_network_stands_without_the_transformers_weights(tmp_path):
    network = SmallKitti(backbone=str(tmp_path / "absent"))
    assert not [key for key in network.state_dict() if "backbone" in key]
    assert copy.deepcopy(network).backbone is network.backbone
    pytest.importorskip("transformers", reason="the extra [dino] is not installed")
    with pytest.raises(CheckpointError, match="absent"):
        network.encode_map(inputs(network, 1)[0])


def test_training_reaches_both_heads():
    network = small(SmallVigor).train()
    tiles, ground = inputs(network, 1)
    maps, frame = network.map_features(tiles, (0, 2)), network.ground_features(ground, (0, 2))
    total = sum(network.similarity(frame, maps, torch.zeros(1, 1), level).square().mean() for level in (0, 2))
    total.backward()
    for head in (network.map_head, network.ground_head):
        for name, p in head.named_parameters():
            assert (p.grad is None) == name.startswith("outlets.1."), name
            assert p.grad is None or torch.isfinite(p.grad).all(), name


@pytest.mark.parametrize("name", ["geodistill_vigor_dino", "geodistill_kitti_dino"])
def test_published_keys_fill_the_network_and_nothing_else(name):
    keys = [f"{head}.{i}.{w}" for head in ("SatDPT", "GrdDPT") for i in INNER for w in ("weight", "bias")]
    published = architecture(name).published[0]
    renamed = rename({key: torch.tensor(0.0) for key in keys}, published.keys, published.unused)
    with torch.device("meta"):
        wanted = build(name).state_dict().keys()
    assert renamed.keys() == wanted


def test_sizes_in_metres():
    with torch.device("meta"):
        vigor, kitti = build("geodistill_vigor_dino", geometry="compat"), build("geodistill_kitti_dino", "compat")
        exact = build("geodistill_kitti_dino")
    assert vigor.metres_per_cell == pytest.approx(0.14156 * 512 / 296)
    assert vigor.level(2).drawn_stride == 2 and vigor.heatmap_shift_cells == (-0.5, -0.5)
    assert kitti.metres_per_cell == pytest.approx(0.391658 * 128 / 152, rel=1e-5)
    assert (kitti.level(0).template, kitti.level(2).template) == (18, 75)
    assert exact.metres_per_cell == pytest.approx(0.391658 * 1.75, rel=1e-5)
