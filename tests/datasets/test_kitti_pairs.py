# SPDX-License-Identifier: Apache-2.0
"""KITTI pairs: what lies ahead comes to lie right, and the camera comes to lie where the displacement says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geodistill_core.datasets.heatmap_targets import kitti_offset_px
from geodistill_core.datasets.kitti import pairs
from geodistill_core.datasets.kitti.frames import Displacement, read_frames
from geodistill_core.errors import DatasetError
from tests.parity import fake_trees

SIDE, CENTER = 600, 300


def _dot(right, down, radius=4):
    """A white square whose middle lies that far from the picture's centre."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    column, row = CENTER + right, CENTER + down
    picture[row - radius : row + radius, column - radius : column + radius] = 255
    return picture


def _place(picture):
    """Middle of the white square, (right, down) of the centre."""
    weight = picture[..., 0].astype(float)
    row, column = np.indices(weight.shape) + 0.5
    total = weight.sum()
    return (column * weight).sum() / total - CENTER, (row * weight).sum() / total - CENTER


@pytest.mark.parametrize(
    ("yaw", "ahead", "to_the_left"),
    [(0.0, (100, 0), (0, -100)), (math.pi / 2, (0, -100), (-100, 0)), (math.pi, (-100, 0), (0, 100))],
    ids=["east", "north", "west"],
)
def test_what_lies_ahead_comes_to_lie_right_of_the_camera(yaw, ahead, to_the_left):
    # The camera is 1.08 m ahead of the inertial unit and 0.26 m to its right.
    forward, right = 1.08 / pairs.METRES_PER_PIXEL, 0.26 / pairs.METRES_PER_PIXEL
    assert _place(pairs.align(_dot(*ahead), yaw)) == pytest.approx((100 - forward, -right), abs=0.1)
    assert _place(pairs.align(_dot(*to_the_left), yaw)) == pytest.approx((-forward, -100 - right), abs=0.1)


@pytest.mark.parametrize("shares", [(0.5, -0.25, 0.0), (0.5, -0.25, 0.4), (-0.9, 0.7, -1.0)])
def test_the_camera_comes_to_lie_where_the_displacement_says(shares):
    displacement = Displacement(*shares)
    moved = pairs.displace(_dot(0, 0), displacement, 90.0)
    down, right = kitti_offset_px(*pairs.camera_px(displacement), math.radians(shares[2] * 90.0))
    assert _place(moved) == pytest.approx((right, down), abs=0.2)


def test_a_displacement_counts_in_units_of_twenty_metres():
    right, up = pairs.camera_px(Displacement(0.5, -1.0, 0.0))
    assert (right * pairs.METRES_PER_PIXEL, up * pairs.METRES_PER_PIXEL) == pytest.approx((10.0, -20.0))


def test_a_left_turn_takes_the_heading_from_right_to_up():
    turned = pairs.displace(_dot(100, 0), Displacement(0.0, 0.0, 1.0), 90.0)
    assert _place(turned) == pytest.approx((0.0, -100.0), abs=0.1)


@pytest.mark.parametrize(("turn", "angle"), [(0.0, 90.0), (0.4, 18.0), (1.0, 270.0), (-1.0, 270.0)])
def test_ccvpe_angles_fall_with_the_turn_and_stay_on_one_circle(turn, angle):
    assert pairs.ccvpe_angle_deg(Displacement(0.0, 0.0, turn), 180.0) == pytest.approx(angle)


def test_an_image_smaller_than_the_crop_is_refused():
    assert pairs.center_crop(np.arange(27, dtype=np.uint8).reshape(3, 3, 3), 1).tolist() == [[[12, 13, 14]]]
    with pytest.raises(DatasetError, match="3 x 3 pixels is smaller than the crop of 4"):
        pairs.center_crop(np.zeros((3, 3, 3), np.uint8), 4)


@pytest.mark.parametrize("side", [pairs.GEODISTILL_MAP_PX, pairs.CCVPE_MAP_PX])
def test_a_frame_is_read_at_the_sizes_of_networks(tmp_path, side):
    root = fake_trees.write_kitti(tmp_path)
    [frame] = read_frames(fake_trees.write_test_list(root, 0.35, -0.62, 0.4), root)
    pair = pairs.load_pair(frame, frame.displacement, 10.0, side)
    assert pair.tile.shape == (side, side, 3)
    assert pair.ground.shape == (256, 1024, 3)
    assert pair.tile.flags.writeable
    assert pair.ground.flags.writeable
    assert pair.intrinsics[0, 0] == pytest.approx(721.5377 * 1024 / 1242)
    assert pair.intrinsics[1, 2] == pytest.approx(172.854 * 256 / 375)
