# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay --truth`: a trajectory file that an earlier replay wrote scores the next one alike."""

from __future__ import annotations

import json

import pytest

from geodistill_core.evaluation.frame_table import read_frames


def test_the_truth_that_a_replay_writes_is_truth_for_the_next(geodistill, drive, checkpoint, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    replay = ("replay", drive.bag, "--model", checkpoint, "-o")
    assert geodistill(*replay, first).code == 0
    origin = read_frames(first / "frames.csv")[0].truth
    datum = f"{origin.latitude!r},{origin.longitude!r}"
    ran = geodistill(*replay, second, "--truth", first / "truth.tum", "--truth-datum", datum)
    assert ran.code == 0
    for a, b in zip(read_frames(first / "frames.csv"), read_frames(second / "frames.csv"), strict=True):
        assert (b.truth.latitude, b.truth.longitude) == pytest.approx((a.truth.latitude, a.truth.longitude), abs=2e-11)
        assert b.truth.yaw_enu_rad == pytest.approx(a.truth.yaw_enu_rad, abs=1e-6)
        assert b.answer.latitude == a.answer.latitude
    run = json.loads((second / "run.json").read_text())
    assert run["configuration"]["truth"] == "truth.tum" and len(run["hashes"]["truth"]) == 64
    assert run["configuration"]["truth datum"] == datum.replace(",", ", ")
    assert "truth" not in json.loads((first / "run.json").read_text())["hashes"]


@pytest.mark.parametrize("datum", ["47.5", "north,south", "91,0", "47.5,8.7,400"])
def test_a_datum_that_is_no_place_ends_with_2(geodistill, drive, checkpoint, tmp_path, datum):
    ran = geodistill("replay", drive.bag, "--model", checkpoint, "-o", tmp_path / "out", f"--truth-datum={datum}")
    assert ran.code == 2 and datum.split(",")[0] in ran.err and not (tmp_path / "out").exists()
