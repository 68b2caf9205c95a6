# SPDX-License-Identifier: Apache-2.0
"""Frame tables: the same floats after reading, the same bytes after writing, errors in one sentence."""

from __future__ import annotations

import csv
import math
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from simulated import answer_off, calibrated_drive, truth_at

from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.evaluation.frame_table import COLUMNS, read_frames, write_frames
from geodistill_core.evaluation.metrics import FrameResult
from geodistill_core.localization.protection import ProtectionLevel

CONTRACT = """key stamp_ns dropped latitude longitude yaw_enu_rad status confidence var_ee var_en var_nn var_ey var_ny
var_yy
truth_latitude truth_longitude truth_yaw_enu_rad gnss_latitude gnss_longitude latency_ms speed_mps
position_error_m lateral_error_m longitudinal_error_m yaw_error_deg
protection_lateral_m protection_longitudinal_m protection_risk road"""


def drive():
    """Frames of every kind: dropped, without truth, without GNSS, with all optional figures."""
    frames = calibrated_drive(20, drop_every=6)
    frames[1] = replace(frames[1], truth=None)
    frames[2] = replace(frames[2], gnss=None)
    frames[3] = replace(frames[3], key='a,"b"\n<é>', confidence=1 / 3, speed_mps=0.1 + 0.2, hpd_level=math.pi / 4)
    protection = ProtectionLevel(0.1 + 0.7, 1 / 7, 0.01)
    frames[0] = replace(frames[0], answer=replace(frames[0].answer, protection=protection), road="street")
    frames[4] = replace(frames[4], latency_ms=1e-300, stamp_ns=2**62 + 1)
    frames.append(FrameResult(7, dropped="no_fix"))
    return frames


def assert_same(read, written):
    assert len(read) == len(written)
    for one, other in zip(read, written, strict=True):
        if one.answer is None:
            assert one == other
            continue
        assert np.array_equal(one.answer.covariance, other.answer.covariance)
        same = replace(one.answer, covariance=other.answer.covariance)
        assert replace(one, answer=same) == replace(other, answer=same)
        assert replace(other.answer, covariance=None) == replace(one.answer, covariance=None)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_reading_gives_the_same_floats_names_and_stamps(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    written = drive()
    assert_same(read_frames(write_frames(tmp_path / f"frames{suffix}", written)), written)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_run_without_frames_is_a_table_too(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    assert read_frames(write_frames(tmp_path / f"none{suffix}", [])) == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_same_run_gives_the_same_bytes(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    first, second = (write_frames(tmp_path / f"{name}{suffix}", drive()) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_the_columns_are_those_that_others_rely_on(tmp_path):
    assert set(CONTRACT.split()) <= set(COLUMNS)
    with write_frames(tmp_path / "frames.csv", drive()).open(newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS


def test_the_error_columns_are_the_errors_of_the_poses(tmp_path):
    truth = truth_at(yaw_rad=math.pi / 2)
    frame = FrameResult(0, truth, answer_off(truth, -3.0, 4.0, math.radians(-2.0)))
    with write_frames(tmp_path / "frames.csv", [frame]).open(newline="") as file:
        row = next(csv.DictReader(file))
    # heading north: three metres west are three to the left
    assert float(row["position_error_m"]) == pytest.approx(5.0, abs=1e-6)
    assert float(row["lateral_error_m"]) == pytest.approx(3.0, abs=1e-6)
    assert float(row["longitudinal_error_m"]) == pytest.approx(4.0, abs=1e-6)
    assert float(row["yaw_error_deg"]) == pytest.approx(-2.0, abs=1e-9)


def test_parquet_without_pyarrow_names_the_command_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r'pip install "geodistill\[tables\]"'):
        write_frames(tmp_path / "frames.parquet", drive())
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused_with_the_ones_that_work(tmp_path):
    with pytest.raises(ConfigError, match=r"\.csv, \.parquet"):
        write_frames(tmp_path / "frames.xlsx", drive())


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda text: text.replace("stamp_ns", "stamp", 1), "frame 1: column 'stamp_ns' is missing"),
        (lambda text: text[: text.rindex("\n", 0, -1) + 5], "frame 21: 3 values for 30"),
        (
            lambda text: re.sub(r",ok,[^,]*,", ",ok,,", text, count=1),
            "frame 1: neither dropped nor with a value in var_ee",
        ),
        (lambda text: text.replace("47.", "x47.", 1), "frame 1: could not convert"),
        (lambda text: text.replace(",ok,", ",ok,\0", 1), "frames.csv"),
    ],
    ids=["column renamed", "cut", "no variance", "not a number", "NUL"],
)
def test_a_damaged_table_names_file_and_frame(tmp_path, break_it, said):
    path = write_frames(tmp_path / "frames.csv", drive())
    path.write_bytes(break_it(path.read_text(encoding="utf-8")).encode())
    with pytest.raises(DatasetError, match=said):
        read_frames(path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "frames.parquet").write_bytes(b"<html>")
    with pytest.raises(DatasetError, match="Parquet"):
        read_frames(tmp_path / "frames.parquet")


def test_a_frame_dropped_for_an_empty_reason_is_refused():
    with pytest.raises(DatasetError, match="reason"):
        FrameResult(0, dropped="")


def test_a_table_of_before_protection_levels_is_read(tmp_path):
    path = write_frames(tmp_path / "frames.csv", drive())
    with path.open(newline="") as file:
        rows = [row[:-4] for row in csv.reader(file)]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    frames = read_frames(path)
    assert len(frames) == len(drive()) and frames[0].answer.protection is None and frames[0].road == ""
