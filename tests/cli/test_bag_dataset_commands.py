# SPDX-License-Identifier: Apache-2.0
"""`geodistill bag vigor` and `bag kitti` on small trees."""

from __future__ import annotations

import json

import pytest
from conftest import Ran

from tests.twins.small import CITY, DRIVE, frame_name, kitti_tree, vigor_tree


@pytest.fixture(scope="module")
def vigor(tmp_path_factory):
    return vigor_tree(tmp_path_factory.mktemp("vigor"))


@pytest.fixture(scope="module")
def kitti(tmp_path_factory):
    return kitti_tree(tmp_path_factory.mktemp("kitti"))


def facts(ran: Ran):
    assert ran.code in (0, 3), ran.err
    return json.loads(ran.out)


def test_vigor_becomes_a_recording_a_city_which_info_finds_ready(vigor, tmp_path, geodistill):
    made = facts(geodistill("bag", "vigor", vigor, "-o", tmp_path, "--city", CITY, "--json", "-"))
    (bag,) = made["bags"]
    assert (bag["samples"], bag["frames"], bag["tiles"], made["skipped"]) == (5, 5, 20, {})
    info = facts(geodistill("bag", "info", bag["bag"], "--full", "--json", "-"))
    assert info["ready"] and info["map"] == bag["map"] and info["files"] == 1
    shown = geodistill("bag", "info", bag["bag"])
    assert shown.code == 0
    for word in (
        f"vigor {CITY}, same-area test",
        "5 of 5 samples",
        "the split's own",
        "camera 2.00 m above the ground",
    ):
        assert word in shown.out


def test_kitti_becomes_a_recording_a_drive(kitti, tmp_path, geodistill):
    made = facts(geodistill("bag", "kitti", kitti, "-o", tmp_path, "--limit", 2, "--storage", "sqlite3", "--json", "-"))
    assert made["bags"][0]["bag"] == str(tmp_path / DRIVE) and made["bags"][0]["frames"] == 2
    info = facts(geodistill("bag", "info", tmp_path / DRIVE, "--json", "-"))
    assert info["ready"] and info["storage"] == "sqlite3"
    streams = {stream["kind"]: stream for stream in info["streams"]}
    assert streams["camera_info"]["note"] == "124 x 38, focal length 722 px, no distortion"
    assert streams["motion"]["note"] == "up to 9.6 m/s at the start"


def test_what_was_skipped_is_named_and_the_exit_code_is_three(tmp_path, geodistill):
    root = kitti_tree(tmp_path / "tree")
    (root / "satmap" / frame_name(3)).unlink()
    (root / "raw_data" / "2011_09_30" / DRIVE / "image_02" / "data" / "0000000004.png").write_bytes(b"\x1b[31m")
    with (root / "test1_files.txt").open("a") as file:
        file.write("\x1b]0;owned\x07 1 2 3\n")
    ran = geodistill("bag", "kitti", root, "-o", tmp_path / "bags")
    assert ran.code == 3
    assert "0000000004.png" in ran.out and "test1_files.txt:4" in ran.out
    assert "\x1b]" not in ran.out and "\x07" not in ran.out


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--city", "Paris"], "Paris"),
        (["--gnss-sigma-m", "-1"], "GNSS sigma"),
        (["--chunk-kib", "4"], "chunks of 4096"),
        (["--storage", "rar"], "rar"),
        (["--jobs", "0"], "jobs 0"),
        (["--camera-height-m", "30", "--city", CITY], "height"),
    ],
)
def test_options_out_of_reason_end_with_two_and_one_line(vigor, tmp_path, geodistill, options, word):
    ran = geodistill("bag", "vigor", vigor, "-o", tmp_path / "bags", *options)
    assert ran.code == 2 and word in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "bags").exists()


def test_a_tree_without_lists_is_unreadable_input(tmp_path, geodistill):
    ran = geodistill("bag", "vigor", tmp_path, "-o", tmp_path / "bags")
    assert ran.code == 4 and "same_area_balanced_test__corrected.txt" in ran.err
    assert geodistill("bag", "kitti", tmp_path, "-o", tmp_path / "bags").code == 4
