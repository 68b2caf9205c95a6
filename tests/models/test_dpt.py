# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy

import pytest
import torch

from geodistill_core.models.backbones.dpt import DptHead, Tokens
from tests.models.naive_dpt import concatenated, naive_levels

H, W, D = 9, 5, 8


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return DptHead(D).eval()


def _tokens(batch=2):
    generator = torch.Generator().manual_seed(1)
    patches = [torch.randn(batch, H, W, D, generator=generator) for _ in range(4)]
    return Tokens(patches, [torch.randn(batch, D, generator=generator) for _ in range(4)])


def _close(got, wanted):
    assert got.shape == wanted.shape
    torch.testing.assert_close(got, wanted, rtol=0, atol=2e-5 * float(wanted.abs().max()))


@pytest.fixture(scope="module")
def plain(head):
    with torch.inference_mode():
        return naive_levels(head, concatenated(_tokens()))


@pytest.mark.parametrize("levels", [(0, 1, 2), (0, 2), (1,), (0,), (2,)])
def test_levels_asked_for_equal_the_plain_evaluation(head, plain, levels):
    with torch.inference_mode():
        found = head(_tokens(), dict.fromkeys(levels, 0))
    assert set(found) == set(levels)
    for level in levels:
        _close(found[level], plain[level])


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.77, 0.95])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_rows_from_a_first_one_on_equal_those_of_the_whole_map(head, plain, level, share):
    first = max(1, round(share * plain[level].shape[-2]))
    with torch.inference_mode():
        found = head(_tokens(), {level: first})[level]
    _close(found, plain[level][:, :, first:])


@pytest.mark.parametrize("first", [1, 2, 3, 31, 37, 50, 71])
def test_every_first_row_of_the_finest_level_is_exact(head, plain, first):
    with torch.inference_mode():
        _close(head(_tokens(), {2: first})[2], plain[2][:, :, first:])


def test_levels_with_different_first_rows_do_not_disturb_each_other(head, plain):
    with torch.inference_mode():
        found = head(_tokens(), {0: 12, 1: 0, 2: 60})
    _close(found[0], plain[0][:, :, 12:])
    _close(found[1], plain[1])
    _close(found[2], plain[2][:, :, 60:])


def test_unused_levels_need_no_deeper_work():
    needed = DptHead._first_merged_rows({0: 0})
    assert set(needed) == {2, 3}


def test_rows_needed_grow_by_the_windows_of_two_residual_units_per_merger():
    needed = DptHead._first_merged_rows({2: 60})
    assert needed == {0: 14, 1: 12, 2: 10, 3: 8}


def test_gradients_equal_those_of_the_plain_evaluation(head):
    head = copy.deepcopy(head).double()  # exact enough that no ReLU switches between the two
    tokens = Tokens([p.double() for p in _tokens(1).patches], [c.double() for c in _tokens(1).classes])
    probes = [torch.randn(shape, dtype=torch.float64) for shape in ((1, 256, 2 * H, 2 * W), (1, 16, 8 * H, 8 * W))]

    def gradients(levels):
        head.zero_grad()
        sum((x * probe).sum() for x, probe in zip(levels, probes, strict=True)).backward()
        return {name: p.grad.clone() for name, p in head.named_parameters() if p.grad is not None}

    found = head(tokens, {0: 0, 2: 0})
    fast = gradients([found[0], found[2]])
    levels = naive_levels(head, concatenated(tokens))
    slow = gradients([levels[0], levels[2]])
    assert fast.keys() == slow.keys()
    for name, wanted in slow.items():
        torch.testing.assert_close(fast[name], wanted, rtol=0, atol=1e-9 * float(wanted.abs().max()), msg=name)
