# SPDX-License-Identifier: Apache-2.0
"""KITTI as examples: the published lists, the published pixels, and what a vehicle's own map would give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geodistill_training.data.kitti_pairs import KittiPairs
from geodistill_training.recipe.data import KittiData

from geodistill_core.datasets.check import refuse_leak
from geodistill_core.datasets.kitti.pairs import load_pair
from geodistill_core.errors import DatasetError
from geodistill_core.models import build
from tests.twins.trees import copy_of, kitti_tree, replace_file


@pytest.fixture(scope="module")
def tiny():
    return build("tiny", widths=(8, 8, 8, 8))


@pytest.fixture(scope="module")
def published():
    return build("g2sweakly_kitti", geometry="compat", shared=True)


def _pairs(network, labels=True, **options):
    return KittiPairs(KittiData(root=kitti_tree()[0], **options), network, labels)


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_a_network_of_fixed_size_reads_the_published_pixels(published):
    pairs = _pairs(published, part="test1")
    example = pairs.example(0, _rng())
    pair = load_pair(pairs.frames[0], pairs.frames[0].displacement, 10.0, 512)
    assert (example.tile == pair.tile).all()
    assert (example.pixels == pair.ground).all()
    assert example.intrinsics == pytest.approx(pair.intrinsics, rel=1e-5)


def test_test_lists_prescribe_displacement_and_turn(tiny):
    """Shares 0.35, -0.62 and 0.4 of 20 m and 10 degrees."""
    example, c, s = _pairs(tiny, part="test1").example(0, _rng(5)), math.cos(math.radians(4)), math.sin(math.radians(4))
    assert example.truth == pytest.approx((7.0 * c + 12.4 * s, 7.0 * s - 12.4 * c, math.radians(4)), abs=1e-5)
    assert example.yaw_enu_rad == pytest.approx(0.0, abs=1e-9)


def test_training_frames_draw_within_the_ranges_and_repeat_with_their_generator(tiny):
    pairs = _pairs(tiny, position_range_m=8.0, heading_noise_deg=15.0)
    truths = np.array([pairs.example(0, _rng(seed)).truth for seed in range(10)])
    assert 6 < np.abs(truths[:, :2]).max() <= 8 * math.sqrt(2)
    assert 8 < np.degrees(np.abs(truths[:, 2])).max() <= 15
    assert (pairs.example(0, _rng(7)).tile == pairs.example(0, _rng(7)).tile).all()


def test_north_up_tiles_keep_the_heading_and_the_same_noise(tiny):
    aligned, north_up = _pairs(tiny, part="test1"), _pairs(tiny, part="test1", tiles="north_up")
    one, other = aligned.example(0, _rng()), north_up.example(0, _rng())
    [pose] = [p for p in kitti_tree()[1] if p.name == north_up.frames[0].name]
    assert other.truth[2] == pytest.approx(pose.yaw_enu_rad, abs=1e-6)
    assert other.truth[2] - other.yaw_enu_rad == pytest.approx(one.truth[2] - one.yaw_enu_rad, abs=1e-6)
    assert np.hypot(*other.truth[:2]) == pytest.approx(np.hypot(*one.truth[:2]), abs=1e-3)


def test_a_network_of_any_size_gets_the_asked_extent_at_its_own_scale(tiny):
    for tiles in ("aligned", "north_up"):
        example = _pairs(tiny, tiles=tiles, tile_extent_m=72.0).example(0, _rng())
        assert (example.tile.shape, example.metres_per_pixel) == ((288, 288, 3), 0.25)
        assert (example.valid == 255).all()


def test_the_truth_is_absent_without_labels(tiny):
    assert _pairs(tiny, labels=False, part="test1").example(0, _rng()).truth is None


def test_places_are_where_the_drive_was(tiny):
    pairs = _pairs(tiny)
    driven = {one.name: one for one in kitti_tree()[1]}
    first, second = (driven[frame.name] for frame in pairs.frames)
    apart = second.east_m - first.east_m, second.north_m - first.north_m
    # The lever arm of 1.1 m is turned with the vehicle.
    assert pairs.places_m[1] - pairs.places_m[0] == pytest.approx(apart, abs=2.3)
    assert set(pairs.groups) == set(_pairs(tiny, part="test2").groups)


def test_published_parts_can_be_checked_for_leaks(tiny):
    train, far = _pairs(tiny), _pairs(tiny, part="test2")
    assert refuse_leak(train.ground_places, far.ground_places).near == 0
    with pytest.raises(DatasetError, match="2 ground images are in both"):
        refuse_leak(train.ground_places, train.ground_places)


def test_a_test_list_without_displacements_is_refused(tiny, tmp_path):
    root = copy_of(kitti_tree()[0], tmp_path)
    replace_file(root / "test1_files.txt", (root / "train_files.txt").read_text())
    with pytest.raises(DatasetError, match=r"test1_files.txt prescribes no displacement for 2011"):
        KittiPairs(KittiData(root=root, part="test1"), tiny)


def test_the_lists_may_lie_elsewhere(tiny, tmp_path):
    (tmp_path / "train_files.txt").write_text((kitti_tree()[0] / "train_files.txt").read_text().splitlines()[0] + "\n")
    assert len(_pairs(tiny, lists=tmp_path)) == 1
