# SPDX-License-Identifier: Apache-2.0
"""Samples in this project's nouns: the files' own pixels, in the right place, under the right heading."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geodistill_core.datasets.files import read_rgb
from geodistill_core.datasets.kitti import images as kitti
from geodistill_core.datasets.kitti.frames import Displacement, read_frames
from geodistill_core.datasets.kitti.pairs import load_pair
from geodistill_core.datasets.vigor import images as vigor
from geodistill_core.datasets.vigor.splits import read_split
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.geodesy import LocalFrame
from tests.twins.kitti import DATUMS
from tests.twins.trees import copy_of, kitti_tree, replace_file, vigor_tree


@pytest.fixture(scope="module")
def sample():
    return read_split(vigor_tree()[0], "cross", "test")[0]


@pytest.fixture(scope="module")
def frame():
    root = kitti_tree()[0]
    return read_frames(root / "test1_files.txt", root)[0]


def test_the_vigor_tile_is_the_file_at_the_citys_resolution(sample):
    tile = vigor.map_tile(sample, 2)
    assert (tile.rgb == read_rgb(sample.tile(2))).all()
    assert tile.metres_per_pixel == 0.118141
    assert (tile.center, tile.valid.all()) == (sample.tile_center(2), True)


def test_every_group_puts_the_camera_on_one_place(sample):
    """Four tiles, four offsets, one camera."""
    frame, places = LocalFrame(sample.tile_center()), []
    for group in range(4):
        east, north = frame.to_enu(sample.tile_center(group).latitude, sample.tile_center(group).longitude)
        places.append(np.add((east, north), sample.camera_east_north_m(group)))
    assert np.ptp(places, axis=0).max() < 0.01


def test_a_turned_panorama_keeps_every_pixel_and_says_which_turn_it_made(sample):
    straight, _ = vigor.ground_image(sample)
    turned, turn = vigor.ground_image(sample, 0.1234)
    assert turn == round(0.1234 * 512) / 512
    assert (turned.rgb == np.roll(straight.rgb, 63, axis=1)).all()
    assert (straight.height_m, vigor.ground_image(sample, height_m=2.6)[0].height_m) == (2.0, 2.6)


def test_a_panorama_that_is_not_twice_as_wide_as_high_is_refused(tmp_path):
    copy = copy_of(vigor_tree()[0], tmp_path)
    sample = read_split(copy, "cross", "test")[0]
    replace_file(sample.panorama, sample.tile().read_bytes())
    with pytest.raises(DatasetError, match="640 x 640 pixels; a panorama is twice as wide as high"):
        vigor.ground_image(sample)


@pytest.mark.parametrize("side_px", [256, 512])
def test_the_aligned_tile_has_the_published_pixels(frame, side_px):
    published = load_pair(frame, frame.displacement, 10.0, side_px)
    placed = kitti.aligned_tile(frame, frame.displacement, 10.0, side_px)
    assert (placed.tile.rgb == published.tile).all()


def test_the_aligned_label_is_displaced_then_turned(frame):
    """Shares 0.35 and -0.62 of 20 m, turned counter-clockwise by 0.4 of 45 degrees."""
    placed = kitti.aligned_tile(frame, frame.displacement, 45.0, 256)
    turn = math.radians(18.0)
    assert placed.heading_rad == pytest.approx(turn)
    assert placed.right_m == pytest.approx(7.0 * math.cos(turn) + 12.4 * math.sin(turn))
    assert placed.up_m == pytest.approx(7.0 * math.sin(turn) - 12.4 * math.cos(turn))


def test_the_camera_is_where_it_was_driven():
    root, driven = kitti_tree()
    for one in driven:
        [frame] = [f for f in read_frames(root / f"{one.part}_files.txt", root) if f.name == one.name]
        truth = kitti.camera_truth(frame)
        place = LocalFrame(DATUMS[one.part]).to_enu(truth.latitude, truth.longitude)
        assert place == pytest.approx((one.east_m, one.north_m), abs=1e-3)
        assert truth.yaw_enu_rad == pytest.approx(one.yaw_enu_rad, abs=1e-8)


def test_both_kinds_of_tile_have_one_centre_and_the_same_label_in_it(frame):
    aligned = kitti.aligned_tile(frame, frame.displacement, 0.0, 256)
    north_up = kitti.north_up_tile(frame, frame.displacement, 60.0)
    assert aligned.tile.center == north_up.tile.center
    c, s = math.cos(north_up.heading_rad), math.sin(north_up.heading_rad)
    turned = c * aligned.right_m - s * aligned.up_m, s * aligned.right_m + c * aligned.up_m
    assert turned == pytest.approx((north_up.right_m, north_up.up_m), abs=1e-3)


def test_a_north_up_tile_around_the_unit_is_the_files_middle(frame):
    """Displaced by the lever arm, so that the centre falls on the inertial unit."""
    placed = kitti.north_up_tile(frame, Displacement(1.08 / 20.0, -0.26 / 20.0, 0.0), 40.0)
    side = placed.tile.valid.shape[0]
    top = (1280 - side) // 2
    middle = read_rgb(frame.satellite)[top : top + side, top : top + side].astype(int)
    assert side == 204
    assert np.abs(placed.tile.rgb.astype(int) - middle).max() <= 2


def test_the_ground_image_is_a_level_camera_with_the_days_matrix(frame):
    image = kitti.ground_image(frame)
    assert image.rgb.shape == (375, 1242, 3)
    assert image.camera.K[0].tolist() == [721.5377, 0.0, 609.5593]
    assert image.T_base_camera[:3, 2] == pytest.approx([1.0, 0.0, 0.0])
    assert image.height_m == 1.65


def test_a_satellite_image_of_another_size_is_refused(tmp_path):
    root = copy_of(kitti_tree()[0], tmp_path)
    frame = read_frames(root / "test1_files.txt", root)[0]
    replace_file(frame.satellite, frame.ground.read_bytes())
    with pytest.raises(DatasetError, match="1242 x 375 pixels, not 1280 x 1280"):
        kitti.aligned_tile(frame, frame.displacement, 0.0, 256)
