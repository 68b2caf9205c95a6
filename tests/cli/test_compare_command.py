# SPDX-License-Identifier: Apache-2.0
"""`geodistill compare`: the verdict in words, JSON and page; partial comparisons end with 3."""

from __future__ import annotations

import json

import numpy as np
import pytest

from geodistill_core.datasets.truth import Truth
from geodistill_core.evaluation.frame_table import write_frames
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer

METRES_PER_DEGREE = 111_000.0


def write_run(folder, scale, frames=60):
    """A run whose errors are `scale` times those of the others, to the north."""
    north_m = scale * (1.0 + np.random.default_rng(4).random(frames))
    results = [
        FrameResult(
            i * 10**9,
            Truth(47.0, 8.0, 0.0),
            PoseAnswer(47.0 + north_m[i] / METRES_PER_DEGREE, 8.0, 0.0, np.diag([1.0, 1.0, 0.01])),
        )
        for i in range(frames)
    ]
    write_frames(folder / "frames.csv", results)
    (folder / "run.json").write_text(json.dumps({"model": f"tiny {folder.name}"}))
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    return [write_run(tmp_path / name, scale) for name, scale in (("old", 1.0), ("new", 0.5))]


def test_a_better_run_is_called_better_in_words_page_and_json(geodistill, runs, tmp_path):
    ran = geodistill("compare", *runs, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "new is better. Mean position error from " in ran.out
    assert "60 frames in both runs, 60 scored in both" in ran.out
    summary = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert summary["baseline"] == "old" and summary["comparisons"][0]["verdict"] == "better"
    assert "new: better" in (tmp_path / "out" / "compare.html").read_text()
    assert str(tmp_path) not in (tmp_path / "out" / "compare.json").read_text()


def test_json_alone_goes_to_standard_output(geodistill, runs):
    ran = geodistill("compare", *runs[::-1], "--json", "-")
    assert ran.code == 0 and json.loads(ran.out)["comparisons"][0]["verdict"] == "worse"


def test_frames_that_one_run_lacks_end_with_3_and_are_counted(geodistill, runs, tmp_path):
    shorter = write_run(tmp_path / "short", 0.5, frames=50)
    ran = geodistill("compare", runs[0], shorter)
    assert ran.code == 3 and "left out: 10 only in the baseline, 0 only in this run" in ran.out


def test_a_folder_that_is_no_run_ends_with_2(geodistill, runs, tmp_path):
    ran = geodistill("compare", runs[0], tmp_path)
    assert ran.code == 2 and "frames.csv" in ran.err and "Traceback" not in ran.err


def test_a_damaged_table_ends_with_4(geodistill, runs, tmp_path):
    (tmp_path / "new" / "frames.csv").write_text("key,stamp_ns\n,x\n")
    ran = geodistill("compare", *runs)
    assert ran.code == 4 and "frame 1" in ran.err


def test_one_run_alone_is_a_usage_error(geodistill, runs):
    assert geodistill("compare", runs[0]).code == 2
