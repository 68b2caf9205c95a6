# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-B0's shortcuts (folding, early padding, uneven padding) against the plain definition of each layer."""

import pytest
import torch
from torch.nn import functional as F

from geodistill_core.models.backbones.efficientnet import (
    BLOCK_CHANNELS,
    EFFICIENTNET_KEYS,
    EFFICIENTNET_UNUSED,
    EfficientNet,
)
from geodistill_core.models.backbones.published_efficientnet import published_blocks
from geodistill_core.models.importing.key_map import rename

ALL = tuple(range(16))


def trunk(mode, seed=0):
    torch.manual_seed(seed)
    network = EfficientNet(mode)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.3, 0.3)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return network.eval()


def plain_pad(x, mode, before, after):
    if mode == "circular":
        x = torch.cat([x[..., x.shape[-1] - before :], x, x[..., :after]], dim=-1)
        return F.pad(x, (0, 0, before, after))
    return F.pad(x, (before, after, before, after), mode="reflect" if mode == "reflect" else "constant")


def plain_layer(x, layer, kernel=1, stride=1, groups=1, mode="zeros"):
    total = kernel - stride
    x = plain_pad(x, mode, total // 2, total - total // 2)
    y = F.conv2d(x, layer.conv.weight, stride=stride, groups=groups)
    n = layer.norm
    return F.batch_norm(y, n.running_mean, n.running_var, n.weight, n.bias, eps=1e-3)


def plain_trunk(network, x, mode):
    x = plain_layer(x, network.stem, 3, 2, 1, mode)
    x, outputs = x * torch.sigmoid(x), []
    for block in network.blocks:
        y = x
        if block.expand is not None:
            y = plain_layer(y, block.expand)
            y = y * torch.sigmoid(y)
        conv = block.depthwise.conv
        y = plain_layer(y, block.depthwise, conv.kernel_size[0], conv.stride[0], y.shape[1], mode)
        y = y * torch.sigmoid(y)
        s = block.squeeze(y.mean(dim=(2, 3), keepdim=True))
        y = plain_layer(y * torch.sigmoid(block.excite(s * torch.sigmoid(s))), block.project)
        x = y + x if y.shape == x.shape else y
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect"])
@pytest.mark.parametrize("size", [(96, 128), (160, 96)])
def test_every_block_equals_the_plain_definition(mode, size):
    network, x = trunk(mode), torch.randn(2, 3, *size)
    with torch.no_grad():
        wanted = plain_trunk(network, x, mode)
        found = network(x, ALL)
    assert [y.shape[1] for y in found] == list(BLOCK_CHANNELS)
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-5 * b.abs().max(), f"block {index}"


def test_odd_sizes_shrink_to_the_floor_as_fixed_padding_does():
    network, x = trunk("zeros"), torch.randn(1, 3, 154, 231)
    with torch.no_grad():
        (found,) = network(x, (15,))
        wanted = plain_trunk(network, x, "zeros")[15]
    assert found.shape == (1, 320, 4, 7)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_circular_trunk_turns_with_its_panorama():
    network, x = trunk("circular"), torch.randn(1, 3, 64, 256)
    with torch.no_grad():
        (still,) = network(x, (15,))
        (turned,) = network(x.roll(64, dims=-1), (15,))
    torch.testing.assert_close(turned, still.roll(2, dims=-1), rtol=1e-4, atol=1e-5)


def test_output_with_gradients_equals_output_without_and_gradients_reach_all_used_weights():
    network, x = trunk("reflect"), torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        still = network.features(network(x, (15,))[0])
    moving = network.features(network(x, (15,))[0])
    torch.testing.assert_close(moving, still)
    moving.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_folded_weights_follow_a_training_step():
    network, x = trunk("zeros"), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        network(x, (15,))
        for parameter in network.parameters():
            parameter.mul_(1.1)
        (found,) = network(x, (15,))
        wanted = plain_trunk(network, x, "zeros")[15]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_training_uses_batch_statistics_and_drops_whole_branches():
    network, x = trunk("circular").train(), torch.randn(4, 3, 64, 64)
    before = network.blocks[3].expand.norm.running_mean.clone()
    first, second = network(x, (15,))[0], network(x, (15,))[0]
    assert not torch.equal(before, network.blocks[3].expand.norm.running_mean)
    assert not torch.allclose(first, second)


def test_published_keys_cover_the_trunk_exactly():
    ours = EfficientNet().state_dict()
    published = {"x._conv_stem.weight", "x._conv_head.weight", "x._fc.weight", "x._fc.bias"}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    published |= {f"x._bn{i}.{n}" for i in (0, 1) for n in norm}
    for b in range(16):
        published |= {
            f"x._blocks.{b}._{c}_conv.weight" for c in ("expand", "depthwise", "project") if b or c != "expand"
        }
        published |= {f"x._blocks.{b}._bn{i}.{n}" for i in range(0 if b else 1, 3) for n in norm}
        published |= {f"x._blocks.{b}._se_{s}.{n}" for s in ("reduce", "expand") for n in ("weight", "bias")}
    state = {key: torch.zeros(1) for key in published}
    assert rename(state, ((r"^x\.", ""), *EFFICIENTNET_KEYS), EFFICIENTNET_UNUSED).keys() == ours.keys()


def test_published_order_of_operations_gives_the_same_blocks_up_to_rounding():
    network, x = trunk("zeros"), torch.randn(2, 3, 96, 128)
    with torch.inference_mode():
        plain = plain_trunk(network, x, "zeros")
        found = published_blocks(network, x, (0, 4, 15))
        last_is_not_needed = published_blocks(network, x, (4,))
    for got, number in zip(found, (0, 4, 15), strict=True):
        assert torch.allclose(got, plain[number], rtol=0, atol=1e-6 * float(plain[number].abs().max()))
    assert torch.equal(last_is_not_needed[0], found[1])
