# SPDX-License-Identifier: Apache-2.0
"""CCVPE's shortcuts against the method spelled out: rolls, cropped windows, deconvolutions, full concatenations."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.ccvpe import PUBLISHED_KEYS, CcvpeGround
from geodistill_core.models.ccvpe_variants import (
    KITTI_SIZES,
    AdaptingVigor,
    CcvpeKitti,
    CcvpeOxford,
    CcvpeVigor,
    prior_rolls,
)
from geodistill_core.models.heading_field import heading_log_share, move_to_base
from geodistill_core.models.importing.key_map import renamed
from geodistill_core.models.registry import build
from geodistill_core.models.rolled_matching import GroundDescriptors, RolledMatching, unit_cells
from geodistill_core.models.upsampling import UpStage, with_ones
from geodistill_core.types import GroundImage


def seen(network, seed=0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    rows, columns = network.sizes.ground_size
    tiles = torch.rand(batch, 3, 512, 512, generator=generator)
    ground = torch.rand(batch, 3, rows, columns, generator=generator)
    return (
        GroundInput(ground, torch.ones(batch, rows, columns), torch.zeros(batch, 3)),
        MapInput(tiles, torch.ones(batch, 512, 512), torch.full((batch,), 0.14)),
    )


def spelled_out(network, ground, tiles, steps, rolls):
    """The method as the paper writes it, with both trunks, explicit rolls and plain layers."""
    border = network.location[0].padding

    def conv(x, layer):
        return layer(F.pad(x, (1, 1, 1, 1), mode="reflect" if border == "reflect" else "constant"))

    def stage(part, z, skip):
        up = part.up(z)
        up = up if skip is None else torch.cat([up, skip], dim=1)
        return conv(F.relu(conv(up, part.mix)), part.refine)

    def similarities(features, descriptor, step, which):
        def one(roll):
            window = features.roll(-roll * step, dims=1)[:, : descriptor.shape[1]]
            return F.cosine_similarity(window, descriptor[:, :, None, None], dim=1, eps=0.0)

        return torch.stack([one(roll) for roll in which], dim=1)

    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    sight = network.ground_trunk((ground.pixels - mean) / std, (15,))[0]
    descriptors = network.descriptors(network.ground_trunk.features(sight))
    blocks = network.map_trunk((tiles.rgb - mean) / std, (0, 2, 4, 10, 15))
    cells = network.map_trunk.features(blocks[-1]).unfold(2, 2, 2).unfold(3, 2, 2)
    first = x = network.map_descriptor(cells.permute(0, 2, 3, 1, 4, 5).flatten(3)).permute(0, 3, 1, 2)
    skips = [*blocks[::-1], None]
    volumes = []
    for level in range(6):
        volumes.append(similarities(x, descriptors[level], steps[level], rolls))
        z = torch.cat([volumes[-1].amax(1, keepdim=True), F.normalize(x, dim=1)], dim=1)
        x = stage(network.location[level], z, skips[level])
    field = torch.cat(
        [similarities(first, descriptors[0], steps[0], range(network.sizes.rolls)), F.normalize(first, dim=1)], dim=1
    )
    for level in range(6):
        field = stage(network.heading[level], field, skips[level])
    return x[:, 0], F.normalize(field, dim=1), volumes


@pytest.mark.parametrize(
    ("network", "rolls"),
    [
        (lambda: CcvpeVigor("compat", orientation_prior_deg=72.0), range(-4, 5)),
        (lambda: AdaptingVigor("compat", orientation_prior_deg=0.0), range(1)),
        (lambda: CcvpeKitti("compat"), range(16)),
    ],
)
def test_frame_on_a_seen_tile_equals_the_method_spelled_out(network, rolls):
    torch.manual_seed(3)
    network = network().eval()
    ground, tiles = seen(network)
    with torch.no_grad():
        logits, field, volumes = spelled_out(network, ground, tiles, network.sizes.steps, rolls)
        found = network.forward_all(ground, tiles)
    assert (found.logits - logits).abs().max() <= 1e-4 * logits.abs().max()
    assert (found.field - field).abs().max() <= 1e-3
    for level, (mine, plain) in enumerate(zip(found.scores, volumes, strict=True)):
        assert level == 0 or mine.shape == plain.shape
        assert (mine[:, [r % mine.shape[1] for r in rolls]] - plain).abs().max() <= 1e-5 or level


@pytest.mark.parametrize(("channels", "length", "step"), [(24, 24, 4), (24, 10, 3), (12, 12, 6)])
def test_one_product_of_templates_equals_explicit_rolls(channels, length, step):
    torch.manual_seed(0)
    features, descriptor, rolls = torch.randn(2, channels, 3, 4), torch.randn(2, length), range(-2, 5)
    matching, unit = RolledMatching(channels, length, step, rolls), unit_cells(features)
    found = matching(matching.templates(descriptor), unit, matching.window_norms(unit))
    for index, roll in enumerate(rolls):
        window = features.roll(-roll * step, dims=1)[:, :length]
        wanted = F.cosine_similarity(window, descriptor[:, :, None, None], dim=1)
        torch.testing.assert_close(found[:, index], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("border", ["zeros", "reflect"])
@pytest.mark.parametrize(("skip", "from_map"), [(3, 0), (0, 0), (3, 4)])
@pytest.mark.parametrize(("wide", "out"), [(6, 2), (300, 5), (7, 260)])
def test_composed_upsampling_equals_deconvolution_and_convolution(border, skip, from_map, wide, out):
    torch.manual_seed(1)
    stage = UpStage(wide, 5, skip, 7, out, border, from_map)
    z, beside = torch.randn(2, wide, 4, 6), torch.randn(2, skip, 8, 12)
    mode = "reflect" if border == "reflect" else "constant"
    with torch.no_grad():
        mixed = F.relu(stage.mix(F.pad(torch.cat([stage.up(z), beside], dim=1), (1, 1, 1, 1), mode=mode)))
        wanted = stage.refine(F.pad(mixed, (1, 1, 1, 1), mode=mode))
        term = stage.map_term(beside, z[:, -from_map:] if from_map else None) if skip else None
        frame = z[:, :-from_map] if from_map else with_ones(z)
        torch.testing.assert_close(stage(frame, term), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stage(frame, term), wanted, rtol=1e-4, atol=1e-5)


def test_composed_weights_follow_a_training_step():
    stage, z = UpStage(3, 4, 0, 4, 1, "zeros"), torch.randn(1, 3, 4, 4)
    with torch.no_grad():
        stage(with_ones(z), None)
        for parameter in stage.parameters():
            parameter.add_(0.1)
        found = stage(with_ones(z), None)
    torch.testing.assert_close(found, stage(with_ones(z), None).detach(), rtol=1e-4, atol=1e-5)


def test_descriptor_keeps_all_channels_of_a_column_side_by_side():
    descriptors = GroundDescriptors(5, (3,), 2)
    features = torch.randn(1, 5, 2, 4)
    full, turned = descriptors(features)[0], descriptors(features.roll(1, dims=3))[0]
    assert full.shape == (1, 12)
    torch.testing.assert_close(turned, full.roll(3, dims=1))


def test_turning_the_panorama_by_columns_turns_the_scores():
    torch.manual_seed(0)
    network = CcvpeVigor().eval()
    ground, tiles = seen(network)
    turned = GroundInput(ground.pixels.roll(5 * 32, dims=3), ground.visible, ground.mount)
    with torch.no_grad():
        maps = network.encode_map(tiles)
        still, moved = (network.decode(network.encode_ground(g), maps) for g in (ground, turned))
    torch.testing.assert_close(moved.scores[0], still.scores[0].roll(-5, dims=1), rtol=1e-3, atol=1e-4)


def test_marginal_over_yaw_is_the_heat_map_and_its_peak_follows_the_field():
    torch.manual_seed(0)
    network = CcvpeVigor().eval()
    ground, tiles = seen(network)
    yaw = torch.linspace(-math.pi, math.pi, 25)[:-1].unsqueeze(0)
    with torch.no_grad():
        sight, maps = network.encode_ground(ground), network.encode_map(tiles)
        logits, found = network.match(sight, maps, yaw), network.decode(sight, maps)
    assert logits.shape == (1, 24, 512, 512)
    joint = torch.softmax(logits.flatten(1).double(), dim=1).view_as(logits)
    torch.testing.assert_close(joint.sum(1).float(), found.heatmap, rtol=1e-4, atol=1e-9)
    field_yaw = math.pi / 2 + torch.atan2(found.field[0, 1], found.field[0, 0])
    off = (yaw[0][logits[0].argmax(0)] - field_yaw + math.pi) % (2 * math.pi) - math.pi
    assert off.abs().max() <= math.pi / 24 + 1e-3


@pytest.mark.parametrize(
    ("turn", "angle", "yaw"), [(1, 0.0, 90.0), (1, 90.0, 180.0), (-1, 90.0, 0.0), (-1, 60.0, 30.0)]
)
def test_heading_angle_becomes_yaw(turn, angle, yaw):
    field = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))]).view(1, 2, 1, 1)
    hypotheses = torch.deg2rad(torch.arange(-170.0, 190.0, 10.0)).unsqueeze(0)
    share = heading_log_share(field, hypotheses, turn, 50.0)[0, :, 0, 0]
    assert math.degrees(float(hypotheses[0, share.argmax()])) == pytest.approx(yaw, abs=1e-3)
    assert float(share.exp().sum()) == pytest.approx(1.0, abs=1e-5)
    one_step = float(share[share.argmax()] - share[share.argmax() - 1])
    assert one_step == pytest.approx(50 * (1 - math.cos(math.radians(10))), rel=1e-3)


def test_invalid_map_has_no_probability():
    torch.manual_seed(0)
    network = CcvpeVigor().eval()
    ground, tiles = seen(network)
    tiles.valid[:, :, 300:] = 0
    with torch.no_grad():
        logits = network.match(network.encode_ground(ground), network.encode_map(tiles), torch.zeros(1, 2))
    assert torch.isinf(logits[..., 300:]).all() and torch.isfinite(logits[..., :300]).all()


def test_base_stands_behind_a_forward_camera():
    logits = torch.zeros(1, 2, 8, 8)
    logits[:, :, 3, 4] = 1.0
    moved = move_to_base(logits, torch.tensor([[2.0, 0.0, 1.5]]), torch.tensor([[0.0, math.pi / 2]]), torch.ones(1))
    peaks = [divmod(int(m.masked_fill(m.isinf(), -1).argmax()), 8) for m in moved[0]]
    assert peaks == [(3, 2), (5, 4)]
    assert torch.isinf(moved[0, 0, :, 6:]).all() and torch.isinf(moved[0, 1, :2]).all()


def test_corrected_kitti_compares_sixteen_different_headings_at_every_level():
    descriptor = torch.arange(1.0, 600.0)
    for geometry, distinct in (("compat", [16, 8, 8, 8, 16, 4]), ("corrected", [16] * 6)):
        network = CcvpeKitti(geometry)
        templates = [m.templates(descriptor[: int(m.window[0].sum())].view(1, -1))[0] for m in network.matching]
        assert [len(torch.unique(t, dim=0)) for t in templates] == distinct


def test_prior_of_half_a_turn_doubles_one_heading_only_as_published():
    assert list(prior_rolls(180.0, 20, "compat")) == list(range(-10, 11))
    assert list(prior_rolls(180.0, 20, "corrected")) == list(range(-10, 10))
    assert list(prior_rolls(0.0, 20, "corrected")) == [0]
    with pytest.raises(ConfigError, match="190"):
        prior_rolls(190.0, 20, "corrected")


def test_decoded_grid_counts_from_index_256_only_as_published():
    assert CcvpeOxford("compat").heatmap_shift_cells == (-0.5, -0.5)
    assert CcvpeOxford().heatmap_shift_cells == (0.0, 0.0)


def test_oxford_sizes_hold_together():
    network = CcvpeOxford().eval()
    with torch.no_grad():
        output = network.forward_all(*seen(network))
    assert output.logits.shape == (1, 512, 512)
    assert [tuple(s.shape[1:]) for s in output.scores] == [(20, n, n) for n in (8, 16, 32, 64, 128, 256)]


def test_gradients_reach_every_weight():
    torch.manual_seed(0)
    network = CcvpeKitti().train()
    output = network.forward_all(*seen(network))
    score_terms = sum(s.square().mean() for s in output.scores)
    (output.logits.mean() + output.field[:, 0].mean() + score_terms).backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert missing == []


def test_panorama_is_read_at_the_published_size():
    rgb = np.random.default_rng(0).integers(0, 255, (512, 1024, 3)).astype(np.uint8)
    assert CcvpeVigor().prepare_ground(GroundImage.panorama(rgb)).pixels.shape == (1, 3, 320, 640)


def test_published_decoder_keys_are_ours_in_reverse_order():
    ours = CcvpeKitti().state_dict()
    assert renamed("deconv6_ori.weight", PUBLISHED_KEYS) == "heading.0.up.weight"
    assert renamed("conv1.2.bias", PUBLISHED_KEYS) == "location.5.refine.bias"
    assert ours["heading.0.up.weight"].shape[0] == KITTI_SIZES.rolls + 2048
    assert ours["location.5.refine.bias"].shape == (1,)


def test_weights_built_in_inference_mode_keep_their_compositions():
    with torch.inference_mode():
        network = build("ccvpe_kitti", geometry="compat").eval()
        stage = network.location[1]
        kept = [stage._composed.get([stage.up.weight], stage._compose)[0] for _ in range(2)]
    assert not stage.up.weight.is_inference()
    assert kept[0] is kept[1]


def test_the_answer_does_not_depend_on_the_cameras_height():
    network = CcvpeVigor().eval()
    ground = CcvpeGround((), torch.tensor([[0.0, 0.0, 2.0]]))
    assert network.at_height(ground, 1.5) is None
    logits, mpp = torch.randn(1, 2, 8, 8), torch.tensor([0.1])
    low, high = (
        move_to_base(logits, torch.tensor([[1.0, 0.5, height]]), torch.tensor([[0.1, 0.2]]), mpp)
        for height in (1.5, 2.5)
    )
    assert torch.equal(low, high)
