# SPDX-License-Identifier: Apache-2.0
"""Window attention against its definition, pair by pair."""

import itertools

import pytest
import torch

from geodistill_core.models.backbones.window_attention import (
    WindowAttention,
    WindowBlock,
    WindowTokens,
    join_windows,
    split_windows,
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


def attention(window=3, heads=2, width=8, qkv_bias=False):
    module = WindowAttention(width, heads, window, qkv_bias=qkv_bias)
    torch.nn.init.normal_(module.relative_position_bias_table)
    return module


def pair_by_pair(module, x, window, heads, key_bias):
    """The definition for one window [T, D] with separate projections."""
    T, D = x.shape
    d = D // heads
    q, k, v = (layer(x).view(T, heads, d) for layer in (module.q_proj, module.k_proj, module.v_proj))
    out = torch.zeros(T, heads, d)
    for head in range(heads):
        scores = torch.zeros(T, T)
        for i, j in itertools.product(range(T), range(T)):
            down, right = i // window - j // window, i % window - j % window
            row = (down + window - 1) * (2 * window - 1) + right + window - 1
            bias = module.relative_position_bias_table[row, head]
            scores[i, j] = q[i, head] @ k[j, head] / d**0.5 + bias + key_bias[j]
        out[:, head] = scores.softmax(dim=1) @ v[:, head]
    return module.proj(out.view(T, D))


def test_attention_is_its_definition():
    module, x = attention(), torch.randn(2, 9, 8)
    key_bias = torch.tensor([[0.0] * 9, [0.0, -100.0, 0.5, 0.0, 0.0, -1.0, 0.0, 0.0, 2.0]])
    with torch.no_grad():
        wanted = torch.stack([pair_by_pair(module, x[n], 3, 2, key_bias[n]) for n in (0, 1)])
        torch.testing.assert_close(module(x, key_bias), wanted, atol=1e-5, rtol=1e-5)


def test_fused_projection_is_three_projections():
    separate, fused, x = attention(), attention(qkv_bias=True), torch.randn(2, 9, 8)
    with torch.no_grad():
        fused.qkv.weight.copy_(torch.cat([separate.q_proj.weight, separate.k_proj.weight, separate.v_proj.weight]))
        fused.proj.weight.copy_(separate.proj.weight)
        fused.relative_position_bias_table.copy_(separate.relative_position_bias_table)
        fused.qkv.bias.zero_()
        fused.proj.bias.zero_()
        torch.testing.assert_close(fused(x), separate(x))


def test_windows_hold_neighbours_and_join_again():
    x = torch.arange(2 * 4 * 6).view(2, 4, 6, 1)
    windows = split_windows(x, 2)
    assert windows[1, :, 0].tolist() == [2, 3, 8, 9]
    assert torch.equal(join_windows(windows, 2, 4, 6), x)


def test_tokens_do_not_see_other_windows():
    block, x = WindowBlock(8, 2, window=2, qkv_bias=False).eval(), torch.randn(1, 4, 4, 8)
    changed = x.clone()
    changed[:, :2, :2] += 1
    with torch.no_grad():
        same = (block(x) == block(changed)).all(dim=-1)[0]
    assert same.int().tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_unseen_tokens_are_attended_to_only_where_none_is_seen():
    block, x = WindowBlock(8, 2, window=2, qkv_bias=False).eval(), torch.randn(1, 2, 4, 8)
    seen = torch.tensor([[[True, False, False, False], [True, True, False, False]]])
    changed = x.clone()
    changed[0, 0, 1], changed[0, 0, 3] = 5.0, 5.0
    with torch.no_grad():
        difference = (block(x, seen) - block(changed, seen)).abs().amax(dim=-1)[0]
    assert float(difference[[0, 1, 1], [0, 0, 1]].max()) < 1e-6
    assert float(difference[[0, 1, 1], [2, 2, 3]].min()) > 1e-4


def test_patches_become_tokens_and_gradients_reach_every_parameter():
    tokens = WindowTokens(5, 8, 2, patch=2, qkv_bias=True)
    found = tokens(torch.randn(2, 5, 16, 32), torch.rand(2, 8, 16) > 0.3)
    assert found.shape == (2, 8, 16, 8)
    found.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in tokens.parameters())
