# SPDX-License-Identifier: Apache-2.0
"""VIGOR pairs as networks read them: sizes, turns, and each loader's way of resizing."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from geodistill_core.datasets.vigor.labels import TileOffset, VigorSample
from geodistill_core.datasets.vigor.pairs import (
    ANTIALIASED,
    GEODISTILL,
    load_pair,
    turn_panorama,
    turned_yaw_enu_rad,
)
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.angles import bearing_from_yaw, wrap

LOADINGS = pytest.mark.parametrize("loading", [GEODISTILL, ANTIALIASED], ids=["geodistill", "antialiased"])


@pytest.fixture
def sample(tmp_path):
    """Tiles of one colour each; a panorama of alternating black and white columns."""
    tiles = tuple(f"satellite_{n}.5_2.5.png" for n in range(4))
    (tmp_path / "Seattle/satellite").mkdir(parents=True)
    (tmp_path / "Seattle/panorama").mkdir()
    for n, name in enumerate(tiles):
        cv2.imwrite(str(tmp_path / "Seattle/satellite" / name), np.full((640, 640, 3), (10, 20, 30 + n), np.uint8))
    stripes = np.zeros((1024, 2048, 3), np.uint8)
    stripes[:, ::2] = 255
    sample = VigorSample(tmp_path / "Seattle", "cam,1.5,2.5,.png", tiles, (TileOffset(0.0, 0.0),) * 4)
    cv2.imwrite(str(sample.panorama), stripes)
    return sample


@LOADINGS
def test_a_pair_is_rgb_at_the_sizes_and_the_resolution_of_networks(sample, loading):
    pair = load_pair(sample, loading)
    assert pair.tile.shape == (512, 512, 3)
    assert pair.panorama.shape == (320, 640, 3)
    assert pair.tile[100, 100].tolist() == [30, 20, 10]
    assert pair.tile.flags.writeable
    assert pair.panorama.flags.writeable
    assert pair.metres_per_pixel * 512 == pytest.approx(640 * 0.100817)


def test_groups_choose_the_semi_positive_tiles(sample):
    assert [int(load_pair(sample, ANTIALIASED, group=group).tile[0, 0, 0]) for group in range(4)] == [30, 31, 32, 33]


def test_only_the_antialiased_loaders_average_fine_stripes(sample):
    smooth, aliased = (load_pair(sample, loading).panorama.std() for loading in (ANTIALIASED, GEODISTILL))
    assert smooth < 15
    assert aliased > 60


@pytest.mark.parametrize("turn", [0.0, 0.25, -0.125, 0.7])
def test_the_turned_panorama_shows_north_where_its_yaw_says(turn):
    panorama = np.zeros((2, 640, 3), np.uint8)
    panorama[:, 320] = 255
    column = int(turn_panorama(panorama, turn, round)[0, :, 0].argmax())
    bearing = bearing_from_yaw(turned_yaw_enu_rad(turn)) + (column / 640 - 0.5) * 2 * math.pi
    assert abs(wrap(bearing)) < 1e-6


def test_a_quarter_turn_counter_clockwise_heads_west():
    assert abs(wrap(turned_yaw_enu_rad(0.25) - math.pi)) < 1e-12


@pytest.mark.parametrize(("columns", "truncated", "rounded"), [(0.9, 0, 1), (-0.9, 0, -1), (1.5, 1, 2), (2.5, 2, 2)])
def test_turns_become_whole_columns_by_each_loaders_rule(columns, truncated, rounded):
    panorama = np.zeros((1, 640, 3), np.uint8)
    panorama[0, 100] = 255
    for loading, moved in ((GEODISTILL, truncated), (ANTIALIASED, rounded)):
        turned = turn_panorama(panorama, columns / 640, loading.whole_columns)
        assert int(turned[0, :, 0].argmax()) == 100 + moved


def test_a_tile_of_another_size_is_refused(sample):
    cv2.imwrite(str(sample.tile()), np.zeros((512, 512, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"0\.5_2\.5\.png is 512 x 512 pixels.*640 x 640.*original tiles"):
        load_pair(sample, ANTIALIASED)


def test_a_truncated_and_a_missing_picture_are_refused(sample):
    sample.panorama.write_bytes(sample.panorama.read_bytes()[:2000])
    with pytest.raises(DatasetError, match=r"cam,1\.5,2\.5,\.png cannot be read as a picture"):
        load_pair(sample, ANTIALIASED)
    sample.tile().unlink()
    with pytest.raises(DatasetError, match=r"satellite_0\.5_2\.5\.png cannot be read"):
        load_pair(sample, ANTIALIASED)
