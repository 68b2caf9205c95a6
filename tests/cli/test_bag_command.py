# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner

from geodistill_core import DriveWriter, GeoPoint
from geodistill_core.camera import level_mount
from geodistill_core.cli.bag import app
from geodistill_core.errors import BagError, ConfigError

SYNTH = ["synth", "--style", "suburb", "--seed", "20004", "--frames", "2", "--size-m", "320", "--rate", "2"]


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synth")
    result = CliRunner().invoke(app, [*SYNTH, str(folder), "--json", "-"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_synth_reports_the_files_it_wrote(drive):
    for fact in drive["files"].values():
        assert Path(fact["path"]).stat().st_size == fact["bytes"] > 0
    assert drive["drive"]["synth"]["style"] == "suburb" and drive["drive"]["synth"]["size_m"] == 320.0


def test_info_of_a_synthetic_drive_is_ready(drive):
    result = CliRunner().invoke(app, ["info", drive["files"]["bag"]["path"], "--json", "-"])
    facts = json.loads(result.stdout)
    assert result.exit_code == 0 and facts["ready"] and facts["sidecar"]["synth"]["seed"] == 20_004
    table = CliRunner().invoke(app, ["info", drive["files"]["bag"]["path"]], env={"COLUMNS": "200"})
    for fact in ("/camera/image/compressed", "1024 x 512 compressed, panorama", "sigma 8.0 m", "ready"):
        assert fact in table.output


def test_info_without_the_sidecar_takes_the_mount_from_the_recording_and_misses_the_map(drive, tmp_path):
    copy = tmp_path / "alone.mcap"
    copy.write_bytes(Path(drive["files"]["bag"]["path"]).read_bytes())
    result = CliRunner().invoke(app, ["info", str(copy)], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "camera mount: from /tf_static" in result.output and "map: none beside the recording" in result.output


def test_what_cannot_be_localized_exits_with_three_and_says_why(tmp_path):
    with DriveWriter(tmp_path / "blind.mcap", level_mount(2.0)) as writer:
        writer.fix(1, GeoPoint(47.0, 8.0), 3.0)
    result = CliRunner().invoke(app, ["info", str(tmp_path / "blind.mcap")], env={"COLUMNS": "200"})
    assert result.exit_code == 3 and "missing  no topic of type" in result.output


def test_info_with_full_reading_compares_hashes(drive):
    result = CliRunner().invoke(app, ["info", drive["files"]["bag"]["path"], "--full", "--json", "-"])
    assert result.exit_code == 0 and json.loads(result.stdout)["missing"] == []


def test_a_synthetic_drive_as_sqlite_holds_the_same_messages(drive, tmp_path):
    result = CliRunner().invoke(app, [*SYNTH, str(tmp_path), "--storage", "sqlite3", "--json", "-"])
    assert result.exit_code == 0, result.output
    with AnyReader([tmp_path / "drive.db3"]) as one, AnyReader([Path(drive["files"]["bag"]["path"])]) as two:
        for (a, t, data), (b, s, same) in zip(one.messages(), two.messages(), strict=True):
            assert (a.topic, t, bytes(data)) == (b.topic, s, bytes(same))


def test_errors_keep_their_family_and_exit_code(tmp_path):
    missing = CliRunner().invoke(app, ["info", str(tmp_path / "nothing.mcap")])
    assert isinstance(missing.exception, BagError) and missing.exception.exit_code == 4
    unknown = CliRunner().invoke(app, [*SYNTH, str(tmp_path), "--style", "atlantis"])
    assert isinstance(unknown.exception, ConfigError) and "suburb" in str(unknown.exception)
