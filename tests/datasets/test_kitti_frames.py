# SPDX-License-Identifier: Apache-2.0
"""KITTI's lists and records: what a line means and what a bad one is answered with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodistill_core.datasets.draws import LegacyDraws
from geodistill_core.datasets.kitti.frames import Displacement, draw_displacement, read_frames
from geodistill_core.datasets.kitti.records import read_camera_matrix, read_oxts, scaled_camera_matrix
from geodistill_core.errors import DatasetError

SPLITS = Path(__file__).parents[2] / "../shared/data/kitti_splits"
NAME = "2011_09_26/2011_09_26_drive_0005_sync/0000000048.png"
P_RECT = "P_rect_02: 700.0 0 600.0 45.0 0 710.0 170.0 0.2 0 0 1 0.003\n"


def _write(tmp_path, text):
    path = tmp_path / "file.txt"
    path.write_text(text)
    return path


def test_a_frame_knows_its_files(tmp_path):
    [frame] = read_frames(_write(tmp_path, NAME + "\n"), Path("/kitti"))
    drive = "/kitti/raw_data/2011_09_26/2011_09_26_drive_0005_sync"
    assert str(frame.ground) == f"{drive}/image_02/data/0000000048.png"
    assert str(frame.oxts) == f"{drive}/oxts/data/0000000048.txt"
    assert str(frame.calibration) == "/kitti/raw_data/2011_09_26/calib_cam_to_cam.txt"
    assert str(frame.satellite) == f"/kitti/satmap/{NAME}"
    assert frame.displacement is None


def test_test_lists_fix_the_displacement(tmp_path):
    [frame] = read_frames(_write(tmp_path, f"{NAME} 0.35 -0.62 0.4\n"), tmp_path)
    assert frame.displacement == Displacement(right=0.35, up=-0.62, turn=0.4)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (f"{NAME} 0.1 0.2", "3 fields"),
        (f"{NAME} 0.1 0.2 x", "0.1 0.2 x"),
        (f"{NAME} 0.1 0.2 nan", "nan"),
        (f"{NAME} 0.1 -1.2 0", "-1.2"),
        ("../../etc/0000000048.png", "../../etc"),
        (NAME.replace("png", "jpg"), "0000000048.jpg"),
    ],
)
def test_a_malformed_line_is_named_with_file_number_value_and_remedy(tmp_path, line, named):
    with pytest.raises(DatasetError) as caught:
        read_frames(_write(tmp_path, f"{NAME} 0 0 0\n{line}\n"), tmp_path)
    for part in ("file.txt", "line 2", named, "published lists"):
        assert part in str(caught.value)


def test_training_draws_the_images_shift_and_the_camera_moves_the_other_way():
    kept = np.random.get_state()
    try:
        np.random.seed(3)
        x, y, turn = (np.random.uniform(-1, 1) for _ in range(3))
    finally:
        np.random.set_state(kept)
    assert draw_displacement(LegacyDraws(3)) == Displacement(right=-x, up=-y, turn=turn)


def test_the_modern_generator_may_draw_too():
    assert draw_displacement(np.random.default_rng(1)) == draw_displacement(np.random.default_rng(1))


def test_legacy_whole_numbers_are_those_of_randint():
    assert [LegacyDraws(5).integers(0, 1000) for _ in range(2)] == [np.random.RandomState(5).randint(0, 1000)] * 2


def test_the_record_gives_position_and_enu_yaw(tmp_path):
    truth = read_oxts(_write(tmp_path, "49.015 8.43 112.8 0.01 0.02 0.6 " + "0 " * 24))
    assert (truth.latitude, truth.longitude, truth.yaw_enu_rad) == (49.015, 8.43, 0.6)


@pytest.mark.parametrize("text", ["49 8 1 0 0", "49 8 1 0 0 nan", "99 8 1 0 0 0.6", "49 8 1 0 0 north", ""])
def test_a_malformed_record_is_refused(tmp_path, text):
    with pytest.raises(DatasetError, match=r"file.txt.*copy it again"):
        read_oxts(_write(tmp_path, text))


def test_the_colour_cameras_matrix_is_found_among_others(tmp_path):
    path = _write(
        tmp_path, "calib_time: 09-Jan-2012 13:57:47\n" + P_RECT.replace("02", "00").replace("700", "9") + P_RECT
    )
    assert read_camera_matrix(path).tolist() == [[700.0, 0.0, 600.0], [0.0, 710.0, 170.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "text",
    [P_RECT.replace("02", "00"), P_RECT[:-10], P_RECT.replace("700.0", "-7"), P_RECT.replace("710", "x")],
    ids=["absent", "short", "negative", "no number"],
)
def test_a_calibration_without_the_matrix_is_refused(tmp_path, text):
    with pytest.raises(DatasetError, match=r"file.txt"):
        read_camera_matrix(_write(tmp_path, text))


def test_a_scaled_camera_sees_a_point_at_the_scaled_pixel(tmp_path):
    K = read_camera_matrix(_write(tmp_path, P_RECT))
    point = np.array([1.0, -0.5, 8.0])
    u, v, w = scaled_camera_matrix(K, (375, 1242), (256, 1024)) @ point
    full = K @ point
    assert (u / w, v / w) == pytest.approx((full[0] / full[2] * 1024 / 1242, full[1] / full[2] * 256 / 375))


@pytest.mark.skipif(not SPLITS.is_dir(), reason="real data absent: kitti_splits")
@pytest.mark.parametrize(("name", "count"), [("test1_files.txt", 3_773), ("test2_files.txt", 7_542)])
def test_every_real_test_frame_is_displaced(name, count):
    frames = read_frames(SPLITS / name, SPLITS)
    assert len(frames) == count
    spread = np.array([(f.displacement.right, f.displacement.up, f.displacement.turn) for f in frames])
    # uniform over -1..1: standard deviation 0.577
    assert np.abs(spread.std(axis=0) - 3**-0.5).max() < 0.02
