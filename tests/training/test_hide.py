# SPDX-License-Identifier: Apache-2.0
"""What students do not see."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from geodistill_training.families import family_of
from geodistill_training.families.base import hide
from geodistill_training.masks import KITTI_VISIBLE_DEG, column_mask, draw_hidden_band
from geodistill_training.objectives.hide import activation_masks, patch_masks, student_ground, view_masks
from geodistill_training.recipe.objectives import DistillRecipe, WeakRecipe
from pydantic import ValidationError

from geodistill_core.models.base import GroundInput
from tests.training.small_networks import batch_for, small


def rngs(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def ground(rows=2, height=8, width=360):
    return GroundInput(torch.ones(rows, 3, height, width), torch.ones(rows, height, width), torch.zeros(rows, 3))


def runs(row):
    """Lengths of the stretches of zeros around a ring."""
    first = int(np.argmax(row))
    turned = np.roll(row, -first)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], turned, [1]])))
    return list(edges[1::2] - edges[::2])


def test_a_view_leaves_one_sector_of_the_asked_width_anywhere_around_the_seam():
    masks = view_masks(ground(400), (180, 240), wrap=True, rngs=rngs(*range(400))).numpy()
    assert (masks == masks[:, :1]).all()
    widths = masks[:, 0].sum(1)
    assert (widths.min(), widths.max()) == (180, 239)
    assert {len(runs(mask[0])) for mask in masks} == {1}
    assert masks[:, 0].mean(0).std() < 0.04  # every column is hidden as often
    assert any(mask[0, 0] == 0 and mask[0, -1] == 0 for mask in masks)


def test_without_wrapping_a_view_is_the_published_band_of_the_same_draw():
    masks = view_masks(ground(20, width=640), (180, 240), wrap=False, rngs=rngs(*range(20))).numpy()
    for seed, mask in enumerate(masks):
        band = draw_hidden_band(np.random.default_rng(seed))
        np.testing.assert_array_equal(mask, column_mask(8, 640, band))
        assert band[1] < 360


def test_a_wrapped_band_goes_on_at_the_other_edge():
    assert np.flatnonzero(column_mask(1, 36, (300, 420))[0] == 0).tolist() == [0, 1, 2, 3, 4, 5, 30, 31, 32, 33, 34, 35]


def test_an_image_loses_a_share_of_the_columns_in_which_it_shows_anything():
    strip = ground(1)
    strip.visible[:, :, :140] = 0
    strip.visible[:, :, 230:] = 0  # a camera of 90 degrees in a panorama of 360
    mask = view_masks(strip, (180, 181), wrap=True, rngs=rngs(4))[0, 0]
    assert int((mask[140:230] == 0).sum()) == 45
    assert bool((mask[:140] == 1).all())
    assert bool((mask[230:] == 1).all())


def test_a_pinhole_image_counts_as_360_degrees_wide():
    masks = view_masks(ground(200, width=1024), KITTI_VISIBLE_DEG, wrap=False, rngs=rngs(*range(200)))
    hidden = (masks[:, 0] == 0).float().mean(1)
    assert 61 / 360 - 0.002 < float(hidden.min()) < float(hidden.max()) < 90 / 360 + 0.002


def test_patches_hide_the_asked_share_in_whole_patches_and_differ_between_rows():
    masks = patch_masks(ground(2, 64, 128), 0.4, 16, rngs(1, 2))
    blocks = masks.reshape(2, 4, 16, 8, 16).mean(dim=(2, 4))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert (blocks == 0).sum(dim=(1, 2)).tolist() == [13, 13]  # 12 of 32 hide 37.5 %
    assert not torch.equal(masks[0], masks[1])


def test_strong_activations_are_hidden_where_the_image_causes_them():
    network = small("g2sweakly_vigor").eval()
    family, batch = family_of(network), batch_for(network)
    features = torch.zeros(2, 4, 32, 64)
    features[0, :, 10, 20], features[1, :, 0, 63] = 1.0, 1.0
    family.activations = lambda image: features
    masks = activation_masks(family, batch.ground, 1.5 / (32 * 64))
    hidden = (masks == 0).nonzero().tolist()
    assert hidden == [[0, r, c] for r in (20, 21) for c in (40, 41)] + [[1, r, c] for r in (0, 1) for c in (126, 127)]


@pytest.mark.parametrize("name", ["tiny", "g2sweakly_vigor", "ggcvt_vigor"])
def test_activations_lie_where_the_image_has_something(name):
    network = small(name).eval()
    family, batch = family_of(network), batch_for(network)
    height, width = batch.ground.pixels.shape[-2:]
    blank = replace(batch.ground, pixels=torch.zeros_like(batch.ground.pixels))
    spotted = replace(blank, pixels=blank.pixels.clone())
    spotted.pixels[:, :, height // 2 : height // 2 + 8, width // 4 : width // 4 + 8] = 1.0
    with torch.no_grad():
        change = (family.activations(spotted) - family.activations(blank))[0].abs().sum(0)
    assert change.shape == (height // 2, width // 2)
    row, column = divmod(int(change.argmax()), width // 2)
    assert abs(2 * row - height / 2 - 4) < 16
    assert abs(2 * column - width / 4 - 4) < 16


@pytest.mark.parametrize(("masked", "pixels", "visible"), [("image", 0, 1), ("features", 1, 0), ("both", 0, 0)])
def test_masks_hide_pixels_or_visibility_or_both(masked, pixels, visible):
    mask = torch.ones(2, 8, 360)
    mask[:, :, :10] = 0
    hidden = hide(ground(), mask, masked)
    assert float(hidden.pixels[..., :10].max()) == pixels
    assert float(hidden.visible[..., :10].max()) == visible
    assert float(hidden.pixels[..., 10:].min()) == float(hidden.visible[..., 10:].min()) == 1


@pytest.mark.parametrize("masked", ["image", "features", "both"])
@pytest.mark.parametrize("mask", ["fov", "patch", "activation"])
def test_every_mask_changes_what_the_student_knows_and_a_draw_repeats(mask, masked):
    network = small("tiny").eval()
    family, batch = family_of(network), batch_for(network)
    options = DistillRecipe(mask=mask, masked=masked)
    with torch.no_grad():
        whole = family.ground(batch.ground)
        seen, again = (student_ground(family, batch, options, rngs(1, 2)) for _ in range(2))
    assert torch.equal(seen.features, again.features)
    assert not torch.equal(seen.features, whole.features)
    assert bool((seen.confidence == 0).any()) == (masked != "image")


def test_ccvpe_loses_the_features_of_hidden_columns_and_keeps_its_statistics():
    network = small("ccvpe")
    family, batch = family_of(network), batch_for(network)
    mask = torch.ones(2, 64, 128)
    mask[:, :, :32] = 0
    statistics = [x.clone() for x in network.ground_trunk.buffers()]
    family.activations(batch.ground)
    assert all(torch.equal(a, b) for a, b in zip(statistics, network.ground_trunk.buffers(), strict=True))
    network.eval()
    with torch.no_grad():
        features = network.ground_features(batch.ground.pixels)
        features[..., 0] = 0
        expected = network.described(features, batch.ground.mount)
        found = family.hidden_ground(batch.ground, mask, "features")
    torch.testing.assert_close(found.templates, expected.templates)


@pytest.mark.parametrize("degrees", [(240, 180), (180, 180), (0, 90), (180, 361)])
def test_a_field_of_view_that_does_not_rise_is_refused(degrees):
    for kind in (DistillRecipe, WeakRecipe):
        with pytest.raises(ValidationError, match="must rise within 1 and 360"):
            kind(visible_deg=degrees)
