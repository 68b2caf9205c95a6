# SPDX-License-Identifier: Apache-2.0
"""`geodistill eval vigor` and `eval kitti`: what they leave, print and end with."""

from __future__ import annotations

import json

import pytest

from geodistill_core.evaluation.datasets import run as dataset_run
from geodistill_core.evaluation.datasets.paper import PaperJudge
from geodistill_core.evaluation.frame_table import read_frames
from tests.twins.small import CITY, DRIVE, LABELS, kitti_tree, picture, png, vigor_tree


@pytest.fixture(scope="module")
def vigor(tmp_path_factory):
    return vigor_tree(tmp_path_factory.mktemp("vigor"))


@pytest.fixture(scope="module")
def kitti(tmp_path_factory):
    root = kitti_tree(tmp_path_factory.mktemp("kitti"))
    for path in root.glob("raw_data/*/*/image_02/data/*.png"):
        path.write_bytes(png(picture(int(path.stem), 310, 94)))
    return root


def vigor_options(vigor, checkpoint, folder, *more):
    return ("eval", "vigor", vigor, "--city", CITY, "--model", checkpoint, "-o", folder, *more)


def test_an_evaluation_leaves_metrics_run_and_samples_and_nothing_else(geodistill, vigor, checkpoint, tmp_path):
    ran = geodistill(*vigor_options(vigor, checkpoint, tmp_path, "--json", "-"))
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames.csv", "metrics.json", "run.json"]
    assert ran.out == (tmp_path / "metrics.json").read_text()
    metrics, run = json.loads(ran.out), json.loads((tmp_path / "run.json").read_text())
    assert metrics["frames"] == metrics["frames_localized"] == 5
    assert metrics["protocol"]["protocol"] == run["configuration"]["protocol"] == "paper"
    assert set(metrics["areas"]) == {CITY}
    assert set(run["hashes"]) == {"model", f"{CITY}/{LABELS}"}
    frames = read_frames(tmp_path / "frames.csv")
    assert [frame.key.partition("/")[0] for frame in frames] == [CITY] * 5
    assert all(0.0 <= frame.confidence <= 1.0 for frame in frames)


def test_the_table_shows_means_medians_recalls_and_baselines(geodistill, kitti, checkpoint, tmp_path):
    ran = geodistill("eval", "kitti", kitti, "--model", checkpoint, "-o", tmp_path)
    assert ran.code == 0, ran.err
    for words in ("untrained on kitti test1, paper protocol", "mean", "median", "lateral", "longitudinal"):
        assert words in ran.out
    assert "baseline: center" in ran.out and "within 1°" in ran.out
    assert "3 of 3 localized" in ran.out


@pytest.mark.parametrize("workers", [1, 5])
def test_running_again_gives_the_same_bytes_whatever_reads_ahead(geodistill, kitti, checkpoint, tmp_path, workers):
    found = []
    for name, count in (("a", workers), ("b", 2)):
        options = ("--model", checkpoint, "-o", tmp_path / name, "--workers", count)
        assert geodistill("eval", "kitti", kitti, *options).code == 0
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert found[0] == found[1]


def test_a_stopped_evaluation_ends_with_130_and_goes_on(geodistill, vigor, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_run, "_PART_SAMPLES", 1)
    geodistill(*vigor_options(vigor, checkpoint, tmp_path / "whole", "--batch", 1))
    answer, asked = PaperJudge.answer, []

    def interrupted(judge, batch):
        asked.append([one.question.number for one in batch])
        if asked[-1] == [3]:
            raise KeyboardInterrupt
        return answer(judge, batch)

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr(PaperJudge, "answer", interrupted)
        ran = geodistill(*vigor_options(vigor, checkpoint, folder, "--batch", 1))
    assert ran.code == 130
    assert "the same command goes on" in ran.err
    assert not (folder / "metrics.json").exists()
    monkeypatch.setattr(PaperJudge, "answer", lambda judge, batch: asked.append("again") or answer(judge, batch))
    assert geodistill(*vigor_options(vigor, checkpoint, folder, "--batch", 1)).code == 0
    assert asked == [[0], [1], [2], [3], "again", "again"]
    for path in (tmp_path / "whole").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_samples_can_be_a_parquet_table(geodistill, vigor, checkpoint, tmp_path):
    pytest.importorskip("pyarrow")
    for table in ("csv", "parquet"):
        assert geodistill(*vigor_options(vigor, checkpoint, tmp_path, "--table", table)).code == 0
    csv, parquet = (read_frames(tmp_path / f"frames.{table}") for table in ("csv", "parquet"))
    assert [(f.key, f.answer.latitude, f.confidence) for f in csv] == [
        (f.key, f.answer.latitude, f.confidence) for f in parquet
    ]


def test_a_limit_takes_the_first_samples(geodistill, vigor, kitti, checkpoint, tmp_path):
    whole, few = tmp_path / "whole", tmp_path / "few"
    geodistill(*vigor_options(vigor, checkpoint, whole))
    geodistill(*vigor_options(vigor, checkpoint, few, "--limit", 2))
    keys = [[frame.key for frame in read_frames(folder / "frames.csv")] for folder in (whole, few)]
    assert keys[1] == keys[0][:2]
    geodistill("eval", "kitti", kitti, "--model", checkpoint, "-o", few, "--limit", 1, "--drive", DRIVE)
    assert len(read_frames(few / "frames.csv")) == 1


def test_the_vehicles_question_states_its_noise(geodistill, vigor, checkpoint, tmp_path):
    options = ("--protocol", "vehicle", "--gnss-sigma-m", 3, "--heading-range-deg", 20, "--seed", 4)
    assert geodistill(*vigor_options(vigor, checkpoint, tmp_path, *options)).code == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 4
    stated = {key: run["configuration"][key] for key in ("protocol", "gnss_sigma_m", "heading_range_deg")}
    assert stated == {"protocol": "vehicle", "gnss_sigma_m": 3.0, "heading_range_deg": 20.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--protocol", "papers"), "neither paper nor vehicle"),
        (("--gnss-sigma-m", 3), "vehicle"),
        (("--device", "abacus"), "cannot be used"),
        (("--heading-range-deg", 200), "outside 0"),
        (("--batch", 0), "outside 1"),
        (("--table", "xlsx"), ".csv"),
        (("--area", "near"), "same or cross"),
        (("--orientation-model", "tiny"), "no orientation network"),
    ],
)
def test_options_that_make_no_sense_end_with_2_and_say_why(geodistill, vigor, checkpoint, tmp_path, options, said):
    ran = geodistill(*vigor_options(vigor, checkpoint, tmp_path, *options))
    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_a_tree_that_is_none_ends_with_4(geodistill, checkpoint, tmp_path):
    ran = geodistill("eval", "kitti", tmp_path / "nowhere", "--model", checkpoint, "-o", tmp_path)
    assert ran.code == 4
    assert "data check kitti" in ran.err


def test_what_a_list_holds_does_not_reach_the_terminal_as_commands(geodistill, checkpoint, tmp_path):
    root = vigor_tree(tmp_path / "vigor", samples=2)
    path = root / "splits__corrected" / CITY / LABELS
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, "evil\x1b[31m[bold] " + lines[0].partition(" ")[2]]) + "\n")
    ran = geodistill(*vigor_options(root, checkpoint, tmp_path / "run"))
    assert ran.code == 3
    assert "\x1b" not in ran.out
    assert f"{CITY}/{LABELS}:3" in ran.out and "[bold]" in ran.out
