# SPDX-License-Identifier: Apache-2.0
"""What the student's masks hide, and how much of it."""

import numpy as np
import pytest
import torch
from geodistill_training.masks import (
    KITTI_VISIBLE_DEG,
    VIGOR_VISIBLE_DEG,
    activation_mask,
    column_mask,
    draw_hidden_band,
    patch_mask,
)


@pytest.mark.parametrize(("visible", "least", "most"), [(VIGOR_VISIBLE_DEG, 121, 180), (KITTI_VISIBLE_DEG, 61, 90)])
def test_hidden_bands_have_the_published_widths_and_never_wrap(visible, least, most):
    rng = np.random.default_rng(1)
    bands = [draw_hidden_band(rng, visible) for _ in range(3000)]
    widths = {last - first for first, last in bands}
    assert (min(widths), max(widths)) == (least, most)
    assert min(first for first, _ in bands) == 0
    assert all(last < 360 for _, last in bands)


def test_column_mask_hides_whole_columns_between_rounded_degrees():
    mask = column_mask(4, 640, (90, 180))
    assert mask.shape == (4, 640)
    assert np.flatnonzero(mask[0] == 0).tolist() == list(range(160, 320))
    assert (mask == mask[0]).all()
    assert np.flatnonzero(column_mask(1, 640, (1, 3))[0] == 0).tolist() == [2, 3, 4]  # 1.78 to 5.33


def test_activation_mask_hides_the_largest_means_of_each_sample():
    features = torch.zeros(2, 3, 2, 5)
    features[0, :, 1, 2], features[0, 1, 0, 0] = 1.0, 2.0
    features[1, :, 0, 4], features[1, :, 1, 4] = 5.0, 4.0
    mask = activation_mask(features, 0.29)
    assert mask.shape == (2, 1, 2, 5)
    assert (mask == 0).nonzero().tolist() == [[0, 0, 0, 0], [0, 0, 1, 2], [1, 0, 0, 4], [1, 0, 1, 4]]


def test_patch_mask_hides_whole_patches_until_the_share_is_reached():
    mask = patch_mask(56, 84, 0.4, 14, np.random.RandomState(2))
    patches = mask.reshape(4, 14, 6, 14).transpose(0, 2, 1, 3).reshape(24, -1)
    assert set(patches.sum(axis=1)) == {0, 196}
    assert (patches.sum(axis=1) == 0).sum() == 10  # 9 of 24 hide 37.5 %


def test_patches_at_the_edge_are_cut_and_a_full_share_hides_everything():
    assert not patch_mask(20, 30, 1.0, 16, np.random.RandomState(2)).any()
    assert patch_mask(20, 30, 0.0, 16, np.random.RandomState(2)).all()
