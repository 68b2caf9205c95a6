# SPDX-License-Identifier: Apache-2.0
"""Checking a tree: what is there is counted, what is missing or broken is named, the rest stays usable."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geodistill_core.datasets.check import check_kitti, check_vigor
from geodistill_core.datasets.check.overlays import kitti_overlay, overlays, vigor_overlay
from geodistill_core.datasets.vigor.labels import read_labels
from geodistill_core.errors import DatasetError
from tests.twins.trees import copy_of, kitti_tree, replace_file, vigor_tree

REAL = Path(__file__).parents[2] / "../shared/data"


@pytest.fixture
def vigor(tmp_path):
    return copy_of(vigor_tree()[0], tmp_path)


@pytest.fixture
def kitti(tmp_path):
    return copy_of(kitti_tree()[0], tmp_path)


def _found(report, severity):
    return [one for one in report.findings if one.severity == severity]


def test_a_whole_vigor_tree_is_counted_and_passes(vigor):
    report, samples = check_vigor(vigor, "all")
    counts = {one.name: (one.samples, one.complete) for one in report.lists}
    assert counts["corrected, same-area, train"] == counts["original, same-area, test"] == (4, 4)
    assert {one.name: one.groups for one in report.lists}["corrected, cross-area, test"] == {
        "SanFrancisco": 2,
        "Chicago": 2,
    }
    assert (report.exit_code, len(samples)) == (0, 8)
    assert report.pictures["Seattle/satellite"] == 8
    assert report.decoded == 8 + 4 * 8


def test_a_whole_kitti_tree_is_counted_and_passes(kitti):
    report, frames = check_kitti(kitti, "all")
    assert {one.name: (one.samples, one.complete) for one in report.lists} == dict.fromkeys(
        ("train", "test1", "test2"), (2, 2)
    )
    assert (report.exit_code, len(frames), report.decoded) == (0, 6, 12)
    assert report.lists[2].groups == {"2011_09_26_drive_0005_sync": 2}


@pytest.mark.parametrize("kind", ["panorama", "satellite"])
def test_a_file_that_labels_name_and_that_is_missing_is_named(vigor, kind):
    gone = sorted((vigor / "Chicago" / kind).iterdir())[0]
    gone.unlink()
    report, samples = check_vigor(vigor, "none")
    missing = [one for one in _found(report, "missing") if "corrected" in one.text]
    assert [(one.count, one.examples) for one in missing] == [(1, (str(gone),))]
    assert len(samples) < 8
    assert report.exit_code == 3


def test_missing_folders_and_lists_are_named_with_the_tree_that_is_expected(vigor):
    shutil.rmtree(vigor / "Seattle")
    gone = vigor / "splits__corrected/NewYork/pano_label_balanced__corrected.txt"
    gone.unlink()
    report, _ = check_vigor(vigor, "none")
    cases = [case for one in _found(report, "missing") for case in one.examples]
    assert cases == [str(vigor / "Seattle/panorama"), str(vigor / "Seattle/satellite"), str(gone)]
    assert "satellite/satellite_LATITUDE_LONGITUDE.png" in report.to_json()["expected"][3]
    assert report.exit_code == 3


def test_only_broken_pictures_are_named_and_all_are_found_when_all_are_decoded(vigor):
    panorama, tile = (sorted((vigor / "NewYork" / kind).iterdir())[0] for kind in ("panorama", "satellite"))
    replace_file(panorama, panorama.read_bytes()[:-3000])
    tile.unlink()
    Image.fromarray(np.zeros((320, 320, 3), np.uint8)).save(tile)
    report, samples = check_vigor(vigor, "all")
    [broken] = _found(report, "broken")
    assert broken.count == 2
    assert any(str(panorama) in case for case in broken.examples)
    assert any(str(tile) in case and "320 x 320" in case for case in broken.examples)
    assert report.exit_code == 3
    assert len(overlays(samples)) < len(samples)
    assert check_vigor(vigor, "none")[0].decoded == 0


def test_a_label_outside_its_tile_is_named_with_its_line_and_the_others_count(vigor):
    path = vigor / "splits__corrected/SanFrancisco/pano_label_balanced__corrected.txt"
    lines = path.read_text().splitlines()
    fields = lines[1].split()
    fields[2] = "333.0"
    replace_file(path, "\n".join([lines[0], " ".join(fields)]) + "\n")
    report, _ = check_vigor(vigor, "none")
    [broken] = _found(report, "broken")
    assert "line 2" in broken.examples[0] and "333.0" in broken.examples[0]
    assert {one.name: one.samples for one in report.lists}["corrected, cross-area, test"] == 3


@pytest.mark.parametrize("kind", ["ground", "satellite", "oxts", "calibration"])
def test_a_missing_kitti_file_is_named(kitti, kind):
    _, frames = check_kitti(kitti, "none")
    gone = getattr(frames[0], kind)
    gone.unlink()
    report, rest = check_kitti(kitti, "none")
    [missing] = _found(report, "missing")
    assert missing.examples == (str(gone),)
    assert len(rest) == (0 if kind == "calibration" else 5)
    assert report.exit_code == (4 if kind == "calibration" else 3)


def test_a_test_frame_without_displacement_and_a_broken_record_are_named(kitti):
    path = kitti / "test1_files.txt"
    replace_file(path, "\n".join([path.read_text().split()[0], path.read_text().splitlines()[1]]) + "\n")
    _, frames = check_kitti(kitti, "none")
    replace_file(frames[0].oxts, "49.0 8.4 north")
    report, _ = check_kitti(kitti, "none")
    texts = [case for one in _found(report, "broken") for case in one.examples]
    assert len(texts) == 2
    assert "has no displacement" in texts[0] and str(frames[0].oxts) in texts[1]


def test_frames_that_a_list_repeats_are_noted(kitti):
    path = kitti / "test1_files.txt"
    replace_file(path, path.read_text() * 2)
    report, _ = check_kitti(kitti, "none")
    [note] = _found(report, "note")
    assert (note.text, note.count) == ("ground images that test1 names more than once", 2)
    assert report.exit_code == 0


@pytest.mark.parametrize("check", [check_vigor, check_kitti])
def test_a_folder_that_is_not_there_is_refused_with_the_tree_and_an_empty_one_is_of_no_use(tmp_path, check):
    with pytest.raises(DatasetError, match=r"absent is no folder(?s:.*)ROOT/"):
        check(tmp_path / "absent")
    assert check(tmp_path)[0].exit_code == 4


def test_the_overlay_marks_the_camera_where_it_was_rendered():
    root, placed = vigor_tree()
    for one in placed[:2]:
        [sample] = [
            s
            for s in read_labels(root / f"splits/{one.city}/pano_label_balanced.txt", root / one.city)
            if s.panorama_name == one.line.split()[0]
        ]
        picture = vigor_overlay(sample).tile
        green = (picture == (64, 255, 96)).all(axis=2)
        zoom = 440 / (640 * sample.metres_per_pixel)
        column, row = round(220 + one.east_m * zoom), round(220 - one.north_m * zoom)
        assert green[row - 9 : row + 10, column - 9 : column + 10].sum() > 40
        assert green[row - 30, column - 3 : column + 4].any() and not green[row + 30, column - 3 : column + 4].any()


def test_a_kitti_overlay_says_where_the_camera_is():
    root, _ = kitti_tree()
    _, frames = check_kitti(root, "none")
    assert "camera +0.0 m east and +0.0 m north" in kitti_overlay(frames[0]).facts
    shapes = {one.ground.shape for one in overlays(frames)}
    assert shapes == {(266, 880, 3)}


@pytest.mark.skipif(not (REAL / "kitti_splits").is_dir(), reason="real data absent: kitti_splits")
def test_the_published_kitti_lists_without_pictures_are_of_no_use_but_counted(tmp_path):
    report, frames = check_kitti(tmp_path, "none", lists=REAL / "kitti_splits")
    assert {one.name: one.samples for one in report.lists} == {"train": 0, "test1": 3773, "test2": 7542}
    assert (report.exit_code, frames) == (4, [])


@pytest.mark.skipif(not (REAL / "vigor_labels").is_dir(), reason="real data absent: vigor_labels/Chicago")
def test_the_published_same_area_split_shares_no_panorama_and_is_near_by_design(tmp_path):
    (tmp_path / "splits__corrected").mkdir()
    (tmp_path / "splits__corrected/Chicago").symlink_to((REAL / "vigor_labels/Chicago").resolve())
    report, _ = check_vigor(tmp_path, "none")
    assert _found(report, "leak") == []
    assert any("within 50 m of training images" in one.text and one.count > 10_000 for one in _found(report, "note"))
