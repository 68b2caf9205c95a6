# SPDX-License-Identifier: Apache-2.0
"""The VGG U-net against its definition, written out naively, and its economies: levels and rows on demand."""

import pytest
import torch
from torch.nn import functional as F

from geodistill_core.errors import ConfigError
from geodistill_core.models.backbones.vgg_unet import NARROW, WIDE, VggUNet, unit_norm

HEIGHT, WIDTH = 128, 48
ROWS = {0: 11, 1: 25, 2: 55, 3: 97}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return VggUNet().eval().to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))


def by_definition(network, image):
    """Features and confidences of every level: whole maps, a rectification before every convolution but the first."""
    encoder, maps, x = network.encoder, [], image
    for block in (("conv0", "conv2"), ("conv5", "conv7"), ("conv10", "conv12", "conv14")):
        for name in block:
            x = getattr(encoder, name)(x if name == "conv0" else F.relu(x))
        maps.append(x)
        x = F.max_pool2d(x, 2)
    unpooled, half, quarter = maps[0], F.max_pool2d(maps[0], 2), F.max_pool2d(maps[1], 2)
    features = [x]
    for level, skip in ((1, quarter), (2, half), (3, unpooled)):
        decoder = network.decoders[str(level)]
        upsampled = features[-1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        joined = decoder.fuse(F.relu(torch.cat([upsampled, skip], dim=1)))
        features.append(decoder.refine(F.relu(joined)))
    scores = [torch.sigmoid(head(F.relu(x))) for head, x in zip(network.confidence, features, strict=True)]
    return features, [1 / (1 + score.exp()) for score in scores]


def close(got, wanted):
    return torch.allclose(got, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))


def test_every_level_is_what_the_definition_says(network, image):
    with torch.inference_mode():
        features, confidences = by_definition(network, image)
        found = network(image, (0, 1, 2, 3), confidence=True)
    for level in range(4):
        assert close(found[level].features, features[level])
        assert close(found[level].confidence, confidences[level])


@pytest.mark.parametrize("levels", [(0,), (1,), (2,), (3,), (0, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("confidence", [False, True])
def test_cropped_rows_equal_those_of_the_full_levels(network, image, levels, confidence):
    first_rows = {level: ROWS[level] for level in levels}
    with torch.inference_mode():
        full = network(image, levels, confidence=confidence)
        cropped = network(image, levels, confidence=confidence, first_rows=first_rows)
    for level, first in first_rows.items():
        assert close(cropped[level].features, full[level].features[:, :, first:])
        if confidence:
            assert close(cropped[level].confidence, full[level].confidence[:, :, first:])
        else:
            assert cropped[level].confidence is None


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_only_rows_that_matter_are_read(network, image, level):
    """The highest row with a gradient in the full computation is the first one that the cropped one computes."""
    first = ROWS[level]
    pixels = image[:1].clone().requires_grad_()
    network(pixels, (level,))[level].features[:, :, first:].square().sum().backward()
    highest = int(pixels.grad.abs().sum(dim=(0, 1, 3)).nonzero()[0])
    read = []
    hook = network.encoder.register_forward_pre_hook(lambda _, bands: read.append(bands[0].values.shape[2]))
    network(image, (level,), first_rows={level: first})
    hook.remove()
    assert 0 < HEIGHT - read[0] <= highest
    assert highest - (HEIGHT - read[0]) <= 2 + 8 * (level > 0)


def test_levels_above_the_asked_ones_are_not_computed(network, image):
    called = []
    hooks = [
        module.register_forward_hook(lambda _, __, ___, name=name: called.append(name))
        for name, module in network.decoders.items()
    ]
    network(image, (1,))
    for hook in hooks:
        hook.remove()
    assert called == ["1"]


@pytest.mark.parametrize(("stages", "channels"), [(NARROW, (256, 64, 16, 4)), (WIDE, (256, 128, 64, 16))])
def test_level_sizes_and_channels(stages, channels, image):
    found = VggUNet(stages)(image, (0, 1, 2, 3), confidence=True)
    for level, count in enumerate(channels):
        height, width = HEIGHT // 2 ** (3 - level), WIDTH // 2 ** (3 - level)
        assert found[level].features.shape == (2, count, height, width)
        assert found[level].confidence.shape == (2, 1, height, width)


def test_gradients_reach_every_parameter_and_cropping_keeps_them(network, image):
    network.zero_grad()
    levels = (0, 1, 2, 3)
    full = network(image, levels, confidence=True)
    sum(x.features[:, :, ROWS[n] :].mean() + x.confidence[:, :, ROWS[n] :].mean() for n, x in full.items()).backward()
    wanted = {name: p.grad.clone() for name, p in network.named_parameters()}
    assert all(bool(gradient.any()) for gradient in wanted.values())
    network.zero_grad()
    cropped = network(image, levels, confidence=True, first_rows=ROWS)
    sum(x.features.mean() + x.confidence.mean() for x in cropped.values()).backward()
    for name, parameter in network.named_parameters():
        assert torch.allclose(parameter.grad, wanted[name], rtol=1e-3, atol=1e-4 * float(wanted[name].abs().max()))


def test_unit_norm_is_taken_over_each_whole_sample():
    x = torch.stack([torch.full((3, 2, 2), 4.0), torch.full((3, 2, 2), -0.5)])
    expected = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand_as(x) / 12**0.5
    assert torch.allclose(unit_norm(x), expected)
    assert torch.equal(unit_norm(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


def test_confidence_lies_between_its_published_limits(network, image):
    found = network(image * 50, (0, 2), confidence=True)
    low = torch.sigmoid(torch.tensor(-1.0))
    for level in found.values():
        assert bool((level.confidence >= low).all()) and bool((level.confidence <= 0.5).all())


def test_levels_or_heads_that_do_not_exist_are_refused(image):
    network = VggUNet(WIDE[:2], confidence=False)
    with pytest.raises(ConfigError, match="levels 0 to 2"):
        network(image, (3,))
    with pytest.raises(ConfigError, match="no confidence heads"):
        network(image, (2,), confidence=True)
