# SPDX-License-Identifier: Apache-2.0
"""`geodistill data check` reports, writes its page, and ends with the exit code that its answer deserves."""

import json
import re
import shutil

import pytest

from tests.twins.trees import copy_of, kitti_tree, replace_file, vigor_tree


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_whole_tree_ends_with_0_and_a_page_of_overlays_that_needs_nothing_else(geodistill, here):
    done = geodistill("data", "check", "vigor", vigor_tree()[0], "--decode", "none")
    assert done.code == 0
    assert "corrected, cross-area, test" in done.out and "SanFrancisco" in done.out
    page = (here / "data-check.html").read_text()
    assert page.count('class="sample"') == 8
    assert page.count("data:image/jpeg;base64,") == 16
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page) and "<script" not in page


def test_at_most_ten_samples_are_drawn(geodistill, here, tmp_path):
    root = copy_of(kitti_tree()[0], tmp_path / "tree")
    done = geodistill("data", "check", "kitti", root, "--html", "page/k.html", "--json", "-")
    assert (done.code, json.loads(done.out)["usable"]) == (0, True)
    assert (here / "page/k.html").read_text().count('class="sample"') == 6


def test_a_part_that_is_missing_ends_with_3_and_shows_the_tree(geodistill, here, tmp_path):
    root = copy_of(vigor_tree()[0], tmp_path)
    shutil.rmtree(root / "Chicago/satellite")
    done = geodistill("data", "check", "vigor", root, "--decode", "none")
    assert done.code == 3
    assert str(root / "Chicago/satellite") in done.out
    assert "satellite/satellite_LATITUDE_LONGITUDE.png    640 x 640, north-up, zoom 20" in done.out


def test_json_says_what_the_table_says(geodistill, here, tmp_path):
    root = copy_of(kitti_tree()[0], tmp_path)
    gone = root / "train_files.txt"
    gone.unlink()
    done = geodistill("data", "check", "kitti", root, "--json", "check.json")
    held = json.loads((here / "check.json").read_text())
    assert done.code == held["exit_code"] == 3
    assert held["findings"] == [
        {"severity": "missing", "text": "no list of the train part", "count": 1, "examples": [str(gone)]}
    ]
    assert [(one["name"], one["samples"]) for one in held["lists"]] == [("train", 0), ("test1", 2), ("test2", 2)]


def test_a_leak_ends_with_4_and_is_said(geodistill, here, tmp_path):
    root = copy_of(kitti_tree()[0], tmp_path)
    learned = (root / "train_files.txt").read_text().splitlines()[0]
    replace_file(root / "test1_files.txt", f"{learned} 0.1 0.2 0.3\n")
    done = geodistill("data", "check", "kitti", root, "--decode", "none")
    assert done.code == 4
    assert "leak" in done.out and learned in done.out


def test_the_lists_of_kitti_may_lie_elsewhere(geodistill, here, tmp_path):
    root = copy_of(kitti_tree()[0], tmp_path)
    (tmp_path / "lists").mkdir()
    for part in ("train", "test1", "test2"):
        (root / f"{part}_files.txt").rename(tmp_path / f"lists/{part}_files.txt")
    assert geodistill("data", "check", "kitti", root, "--lists", tmp_path / "lists").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("cityscapes", "."), 2, "cityscapes"),
        (("vigor", ".", "--decode", "some"), 2, "some"),
        (("vigor", ".", "--lists", "."), 2, "--lists"),
        (("vigor", "absent"), 4, "absent is no folder"),
        (("kitti", "."), 4, ""),
    ],
)
def test_what_cannot_be_checked_is_said(geodistill, here, arguments, code, named):
    done = geodistill("data", "check", *arguments)
    assert done.code == code
    assert named in done.err
