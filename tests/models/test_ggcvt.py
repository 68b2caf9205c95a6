# SPDX-License-Identifier: Apache-2.0
"""GGCVT: published keys, geometry, the panorama's seam, what the uncertainty does, gradients."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.ggcvt import PUBLISHED_KEYS, UNUSED_KEYS, GgcvtKitti, GgcvtVigor
from geodistill_core.models.ggcvt_refined import PUBLISHED_KEYS as REFINED_KEYS
from geodistill_core.models.ggcvt_refined import UNUSED_KEYS as REFINED_UNUSED_KEYS
from geodistill_core.models.ggcvt_refined import GgcvtKittiRefined
from geodistill_core.models.importing.key_map import rename
from geodistill_core.models.registry import build
from tests.models import test_exact_geometry as exact

BOTH = ("weight", "bias")


class SmallVigor(GgcvtVigor):
    image_size = (64, 128)
    map_size_px = 128


class SmallKitti(GgcvtKitti):
    image_size = (64, 256)
    map_size_px = 128


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(8)


def frame(network, count=1):
    size, (height, width) = network.map_size_px, network.image_size
    resolution = torch.full((count,), network.metres_per_pixel)
    tiles = MapInput(torch.rand(count, 3, size, size), torch.ones(count, size, size), resolution)
    camera = torch.tensor([[60.0, 0.0, width / 2], [0.0, 60.0, height / 2], [0.0, 0.0, 1.0]])
    intrinsics = None if network.panoramic else camera.expand(count, 3, 3)
    mount = torch.tensor([[0.0, 0.0, 1.8]] * count)
    return tiles, GroundInput(torch.rand(count, 3, height, width), torch.ones(count, height, width), mount, intrinsics)


def names(prefix, inner, kinds=BOTH):
    return [f"{prefix}.{name}.{kind}" for name in inner for kind in kinds]


def published_names(refined):
    convolutions = [f"conv{n}" for n in (0, 2, 5, 7, 10, 12, 14)]
    found = names("SatFeatureNet", convolutions) + names("GrdEnc", convolutions)
    found += names("SatFeatureNet", [f"conv_dec{n}.{i}" for n in (1, 2, 3) for i in (1, 3)], ["weight"])
    found += names("SatFeatureNet", [f"conf{n}.1" for n in range(4)], ["weight"])
    for decoder, levels in (("GrdDec", (1, 2)), ("Dec4", (1,)), ("Dec2", (2,))):
        found += names(decoder, [f"conv_dec{n}.{i}" for n in levels for i in (1, 3)], ["weight"])
    found += [name for n in (1, 2, 3) for name in names("uncertain_net", [f"conv{n}.{i}" for i in (1, 3, 5)])]
    block, tables = "layers.0.blocks.0", ["relative_position_bias_table", "relative_position_index"]
    patches = ["patch_embed.proj", "patch_embed.norm", "head", f"{block}.mlp.fc1", f"{block}.mlp.fc2"]
    for n in (0, 1):
        own, columns = f"CVattn.self_attention_layers.{n}", f"CVattn.cross_attention_layers.{n}"
        found += names(own, [*patches, f"{block}.normx", f"{block}.norm2"])
        found += names(f"{own}.{block}.attn", ["q_proj", "k_proj", "v_proj", "proj"], ["weight"])
        found += [f"{own}.{block}.attn.{table}" for table in tables]
        found += names(columns, ["to_q.0", "to_k.0", "to_v.0", "proj", "prenorm", "postnorm", "mlp.0", "mlp.2"])
        found += names(columns, ["to_q.1", "to_k.1", "to_v.1"], ["weight"])
    for n in (1, 2, 4) if refined else ():
        inner = [*patches, "norm", f"{block}.norm1", f"{block}.norm2", f"{block}.attn.qkv", f"{block}.attn.proj"]
        found += names(f"TransRefine.level_{n}", inner)
        found += [f"TransRefine.level_{n}.{block}.attn.{table}" for table in tables]
    return found + (["coe_R", "coe_T"] if refined else [])


@pytest.mark.parametrize(
    ("network", "refined", "keys", "unused"),
    [
        (GgcvtVigor, False, PUBLISHED_KEYS, UNUSED_KEYS),
        (GgcvtKitti, True, PUBLISHED_KEYS, UNUSED_KEYS),
        (GgcvtKittiRefined, True, REFINED_KEYS, REFINED_UNUSED_KEYS),
    ],
)
def test_published_names_become_exactly_the_networks(network, refined, keys, unused):
    renamed = rename(dict.fromkeys(published_names(refined), torch.zeros(())), keys, unused)
    assert set(renamed) == set(network().state_dict())


@pytest.mark.parametrize("name", ["ggcvt_vigor", "ggcvt_kitti", "ggcvt_kitti_3dof"])
def test_networks_stand_in_the_registry_and_answer_155_cells_a_side(name):
    network = build(name)
    assert network.metres_per_cell == pytest.approx(2 * network.metres_per_pixel)
    assert network.level(2).map_cells - network.level(2).template + 1 == 155


@pytest.mark.parametrize("kind", [SmallVigor, SmallKitti])
@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_samples_and_headings_do_not_mix(kind, geometry):
    network = kind(geometry=geometry).eval()
    tiles, image = frame(network, 2)
    yaw = torch.tensor([[0.1, 1.2], [0.1, -2.0]])
    with torch.no_grad():
        together = network.match(network.encode_ground(image), network.encode_map(tiles), yaw)
        second = MapInput(tiles.rgb[1:], tiles.valid[1:], tiles.metres_per_pixel[1:])
        camera = None if image.intrinsics is None else image.intrinsics[1:]
        ground = network.encode_ground(GroundInput(image.pixels[1:], image.visible[1:], image.mount[1:], camera))
        alone = network.match(ground, network.encode_map(second), yaw[1:, 1:])
    torch.testing.assert_close(together[1:, 1:], alone, atol=1e-4, rtol=1e-4)
    assert float((together[1, 0] - together[1, 1]).abs().max()) > 1e-3


def test_map_features_are_rectified_before_they_are_matched():
    network = SmallVigor().eval()
    with torch.no_grad():
        maps = network.map_features(frame(network)[0], (0, 1, 2))
    assert all(float(x.min()) == 0.0 and float(x.max()) > 0.0 for x in maps.features.values())


def test_only_the_matched_level_is_kept_of_a_map_unless_poses_are_refined():
    class SmallRefined(GgcvtKittiRefined):
        image_size, map_size_px = (64, 256), 128

    for kind, levels in ((SmallVigor, {2}), (SmallKitti, {2}), (SmallRefined, {0, 1, 2})):
        network = kind().eval()
        with torch.no_grad():
            assert set(network.encode_map(frame(network)[0]).features) == levels


def test_four_times_the_uncertainty_halves_the_similarity():
    network = SmallVigor("compat").eval()
    tiles, image = frame(network)
    with torch.no_grad():
        ground, maps, yaw = network.encode_ground(image), network.encode_map(tiles), torch.tensor([[0.4]])
        once = network.match(ground, maps, yaw)
        uncertain = replace(maps, uncertainty={2: 4 * maps.uncertainty[2]})
        torch.testing.assert_close(network.match(ground, uncertain, yaw), once / 2)


def test_similarity_is_a_cosine_where_the_map_is_certain():
    network = SmallVigor("compat").eval()
    tiles, image = frame(network)
    with torch.no_grad():
        ground, maps, yaw = network.encode_ground(image), network.encode_map(tiles), torch.tensor([[0.4]])
        certain = replace(maps, uncertainty={2: torch.ones_like(maps.uncertainty[2])})
        found = network.match(ground, certain, yaw)[0, 0] * network.temperature
        view, k = network.template(ground, 2, yaw, tiles.metres_per_pixel)[0][0, 0], network.level(2).template
        window = maps.features[2][0, :, 5 : 5 + k, 7 : 7 + k]
    cosine = torch.cosine_similarity(view.flatten(), window.flatten(), dim=0)
    assert float(found[5, 7]) == pytest.approx(float(cosine), abs=1e-5)


def test_a_rolled_panorama_is_a_turned_heading():
    network = SmallVigor("corrected").eval()
    tiles, image = frame(network)
    rolled = replace(image, pixels=image.pixels.roll(48, dims=-1))
    with torch.no_grad():
        maps, yaw = network.encode_map(tiles), torch.tensor([[0.7]])
        straight = network.match(network.encode_ground(image), maps, yaw)
        turned = network.match(network.encode_ground(rolled), maps, yaw + 2 * math.pi * 48 / 128)
    torch.testing.assert_close(turned, straight, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [SmallVigor, SmallKitti])
@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_gradients_reach_every_parameter(kind, geometry):
    network = kind(geometry=geometry)
    tiles, image = frame(network)
    ground, maps = network.encode_ground(image), network.map_features(tiles, network.levels)
    found = [network.similarity(ground, maps, torch.zeros(1, 1), level) for level in network.levels]
    sum(x.square().sum() for x in found).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


class Certain(nn.Module):
    """An uncertainty head that is certain of everything."""

    def forward(self, x):
        return torch.ones_like(x[:, :1])


class Unchanged(nn.Module):
    """A fusion that leaves the projected features as they are."""

    def forward(self, projected, encoded, groups, seen):
        return projected


def projecting(name, geometry):
    network = build(name, geometry=geometry)
    network.fusion, network.uncertainty = Unchanged(), nn.ModuleList(Certain() for _ in range(3))
    return network


@pytest.mark.parametrize(
    ("name", "yaw", "place", "mount"),
    [
        ("ggcvt_vigor", 2.4, (-11.3, 6.6), (1.2, -0.4, 1.8)),
        ("ggcvt_vigor", 0.0, (8.0, -5.0), (0.0, 0.0, 1.65)),
        ("ggcvt_kitti", 2.4, (-11.3, 6.6), (1.2, -0.4, 1.8)),
        ("ggcvt_kitti", 0.0, (8.0, -5.0), (0.0, 0.0, 1.65)),
    ],
)
def test_corrected_geometry_peaks_at_the_truth(monkeypatch, name, yaw, place, mount):
    monkeypatch.setattr(exact, "build", projecting)
    east, north, similarity = exact.matched(name, "corrected", 5, yaw, place, mount)
    assert math.hypot(east, north) < 0.1
    assert similarity > 0.99
