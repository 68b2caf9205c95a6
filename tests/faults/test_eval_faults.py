# SPDX-License-Identifier: Apache-2.0
"""R08 and R09: incomplete data sets under evaluation: every sample that is lost is named with its line, and counted."""

from __future__ import annotations

import json

import pytest

from geodistill_core.bags.datasets.kitti import KittiSplit
from geodistill_core.bags.datasets.vigor import VigorSplit
from geodistill_core.evaluation.datasets.asked import Asked
from geodistill_core.evaluation.datasets.evaluation import evaluate, is_partial
from geodistill_core.evaluation.datasets.kitti import kitti_evaluation
from geodistill_core.evaluation.datasets.vigor import vigor_evaluation
from geodistill_core.evaluation.frame_table import read_frames
from tests.twins.small import CITY, DAY, DRIVE, LABELS, RECORDS, frame_name, kitti_tree, picture, png, vigor_tree

PROTOCOLS = ("paper", "vehicle")
ONE_CITY = VigorSplit(cities=(CITY,))


@pytest.fixture
def vigor(tmp_path):
    return vigor_tree(tmp_path / "vigor")


@pytest.fixture
def kitti(tmp_path):
    return photographed(kitti_tree(tmp_path / "kitti", listed=(4, 3, 9)))


def photographed(root):
    """Pictures large enough for a network."""
    for path in root.glob("raw_data/*/*/image_02/data/*.png"):
        path.write_bytes(png(picture(int(path.stem), 310, 94)))
    return root


def vigor_summary(root, tmp_path, protocol):
    summary = evaluate(vigor_evaluation(root, ONE_CITY, Asked(protocol=protocol)), tmp_path / "run")
    return checked(summary, tmp_path)


def kitti_summary(root, tmp_path, protocol):
    summary = evaluate(kitti_evaluation(root, KittiSplit("test1"), Asked(protocol=protocol)), tmp_path / "run")
    return checked(summary, tmp_path)


def checked(summary, tmp_path):
    """No frame is lost silently, and nothing on disk names a folder of this machine."""
    assert summary["frames"] == summary["frames_localized"] + sum(summary["dropped"].values())
    assert len(read_frames(tmp_path / "run" / "frames.csv")) == summary["frames"]
    for name in ("metrics.json", "run.json", "frames.csv"):
        assert str(tmp_path) not in (tmp_path / "run" / name).read_text()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["skipped"] == summary["skipped"]
    return summary


def label_lines(root):
    path = root / "splits__corrected" / CITY / LABELS
    return path, path.read_text().splitlines()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_r09_a_missing_panorama_is_named_with_the_line_that_lists_it(vigor, tmp_path, protocol):
    name = label_lines(vigor)[1][2].split()[0]
    (vigor / CITY / "panorama" / name).unlink()
    summary = vigor_summary(vigor, tmp_path, protocol)
    assert summary["dropped"] == {"bad_file": 1}
    ((where, why),) = summary["skipped"].items()
    assert where == f"{CITY}/{LABELS}:3"
    assert why.startswith(f"{CITY}/panorama/{name} cannot be read")
    assert is_partial(summary)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_r09_a_label_outside_of_its_tile_is_rejected_with_its_line(vigor, tmp_path, protocol):
    path, lines = label_lines(vigor)
    fields = lines[1].split()
    fields[2] = "-321.0"
    lines[1] = " ".join(fields)
    path.write_text("\n".join(lines) + "\n")
    summary = vigor_summary(vigor, tmp_path, protocol)
    assert (summary["frames"], summary["dropped"]) == (5, {"bad_label": 1})
    ((where, why),) = summary["skipped"].items()
    assert where == f"{CITY}/{LABELS}:2"
    assert "offset (-321.0, " in why and "line 2" in why


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_r08_kitti_frames_without_record_or_picture_are_skipped_and_named(kitti, tmp_path, protocol):
    drive = kitti / "raw_data" / DAY / DRIVE
    (drive / "oxts" / "data" / "0000000004.txt").unlink()
    (drive / "image_02" / "data" / "0000000009.png").write_bytes(b"")
    summary = kitti_summary(kitti, tmp_path, protocol)
    assert (summary["frames"], summary["dropped"]) == (3, {"bad_file": 2})
    assert list(summary["skipped"]) == ["test1_files.txt:1", "test1_files.txt:3"]
    assert "0000000004.txt" in summary["skipped"]["test1_files.txt:1"]
    assert "0000000009.png" in summary["skipped"]["test1_files.txt:3"]
    assert is_partial(summary)


@pytest.mark.parametrize("content", [b"", b"\n", b"49.01 8.42\n", b"a b c d e f g\n"])
def test_r08_an_inertial_record_that_says_nothing_loses_its_frame_only(kitti, tmp_path, content):
    (kitti / "raw_data" / DAY / DRIVE / "oxts" / "data" / "0000000003.txt").write_bytes(content)
    summary = kitti_summary(kitti, tmp_path, "paper")
    assert summary["frames_localized"] == 2
    assert list(summary["skipped"]) == ["test1_files.txt:2"]


def test_up_to_a_twentieth_of_unreadable_samples_is_not_partial():
    lost = {"bad_file": 3, "bad_label": 2}
    assert not is_partial({"frames": 100, "dropped": lost})
    assert is_partial({"frames": 99, "dropped": lost})
    assert is_partial({"frames": 1000, "dropped": {"no_map": 1}})
    assert not is_partial({"frames": 1000, "dropped": {}})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_r08_an_empty_satellite_image_costs_no_more_than_its_frame(tmp_path, protocol):
    root = photographed(kitti_tree(tmp_path / "kitti", listed=tuple(RECORDS)))
    (root / "satmap" / frame_name(9)).write_bytes(b"")
    summary = kitti_summary(root, tmp_path, protocol)
    lost = sum(summary["dropped"].values())
    # a vehicle's map is made of all images; whether the others reach there is theirs to say
    assert lost == 1 if protocol == "paper" else lost <= 1


def test_lists_beside_the_data_set_are_named_without_their_folder(kitti, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    listed = (kitti / "test1_files.txt").read_text()
    (lists / "test1_files.txt").write_text(f"{listed}no frame at all\n")
    evaluation = kitti_evaluation(kitti, KittiSplit("test1"), Asked(), lists)
    summary = checked(evaluate(evaluation, tmp_path / "run"), tmp_path)
    assert list(summary["skipped"]) == ["test1_files.txt:4"]
