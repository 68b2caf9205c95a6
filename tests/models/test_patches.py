# SPDX-License-Identifier: Apache-2.0
"""Padding to whole patches and tokens as maps."""

import torch

from geodistill_core.models.backbones.patches import pad_to_patches, tokens_to_map


def test_an_axis_without_a_remainder_gains_a_patch_when_the_other_has_one():
    padded = pad_to_patches(torch.ones(1, 3, 28, 31))
    assert padded.shape == (1, 3, 42, 42)
    assert padded[0, 0, 7:35, 5:36].all()
    assert padded.sum() == 3 * 28 * 31


def test_odd_padding_is_larger_below_and_to_the_right():
    padded = pad_to_patches(torch.ones(1, 1, 33, 31))[0, 0]
    assert padded.nonzero()[0].tolist() == [4, 5]
    assert padded.nonzero()[-1].tolist() == [4 + 32, 5 + 30]


def test_whole_patches_are_left_alone():
    image = torch.rand(1, 3, 28, 42)
    assert torch.equal(pad_to_patches(image), image)


def test_tokens_become_rows_of_patches_with_the_class_token_everywhere():
    tokens = torch.arange(7.0).view(1, 7, 1) * torch.tensor([1.0, 10.0])
    grid = tokens_to_map(tokens + 100, 2, 3)
    assert grid[0, 1].tolist() == [[110.0, 120.0, 130.0], [140.0, 150.0, 160.0]]
    assert (grid[0, 2:] == 100).all()
