# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay` with several drives: the same bytes however they are spread, resumed, and honest about losses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from geodistill_core.bags.reader import ReaderOptions
from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.datasets.synthcity import SMALL_PANORAMA_RIG
from geodistill_core.evaluation.fleet.drive import fleet_work, replay_or_keep
from geodistill_core.evaluation.fleet.jobs import DriveJob, drive_jobs, one_by_one
from geodistill_core.evaluation.fleet.merge import run_fleet
from geodistill_core.evaluation.frame_table import read_frames
from geodistill_core.evaluation.metrics import spread
from geodistill_core.evaluation.replay import ReplayPlan


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """Three short drives on different routes."""
    folder = tmp_path_factory.mktemp("drives")
    for route, name in enumerate(("north", "east", "<i>odd")):
        write_synth_drive(
            folder / f"{name}.mcap",
            "midtown",
            20_000,
            "easy",
            4,
            route=route,
            frame_rate_hz=2.0,
            rig=SMALL_PANORAMA_RIG,
            size_m=320.0,
        )
    return sorted(folder.glob("*.mcap"))


NAMES = ["_i_odd", "east", "north"]
FILES = ["metrics.json", "frames.csv", "run.json", "report.html"]


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def serial(drives, checkpoint, tmp_path_factory):
    """The fleet's folder after a run one by one."""
    folder = tmp_path_factory.mktemp("serial")
    work = fleet_work(ReplayPlan(model=str(checkpoint)))
    run_fleet(drive_jobs(drives, folder), folder, work, one_by_one, lambda fate: None)
    return folder


def test_a_fleet_leaves_a_run_folder_for_each_drive_and_one_for_all(serial):
    assert sorted(path.name for path in (serial / "drives").iterdir()) == NAMES
    for folder in (serial, *(serial / "drives" / name for name in NAMES)):
        assert all((folder / name).stat().st_size > 0 for name in FILES), folder


@pytest.mark.parametrize(
    "spread", [("--jobs", "1"), ("--jobs", "2"), ("--ray", "local", "--jobs", "2")], ids=["1", "2", "ray"]
)
def test_every_byte_is_the_same_however_the_drives_are_spread(geodistill, drives, checkpoint, serial, tmp_path, spread):
    if "--ray" in spread:
        pytest.importorskip("ray", reason="Ray is not installed (pip install 'geodistill[fleet]')")
    ran = geodistill("replay", *reversed(drives), "--model", checkpoint, "-o", tmp_path, *spread, "--json", "-")
    assert ran.code == 0, ran.err
    assert ran.out == (tmp_path / "metrics.json").read_text()
    found = hashes(tmp_path)
    assert found == hashes(serial)
    assert sum(name.endswith("results.mcap") for name in found) == 3


def test_the_merged_figures_are_those_of_all_frames_together(serial):
    metrics = json.loads((serial / "metrics.json").read_text())
    tables = {name: read_frames(serial / "drives" / name / "frames.csv") for name in NAMES}
    assert metrics["frames"] == sum(len(table) for table in tables.values()) == 12
    assert metrics["frames"] == metrics["frames_localized"] + sum(metrics["dropped"].values())
    lines = [(serial / "drives" / name / "frames.csv").read_text().splitlines() for name in NAMES]
    column = lines[0][0].split(",").index("position_error_m")
    errors = [float(line.split(",")[column]) for table in lines for line in table[1:]]
    assert metrics["position_error_m"] == pytest.approx(spread(errors), abs=1e-8)
    merged = read_frames(serial / "frames.csv")
    assert [frame.key.split("/")[0] for frame in merged] == [name for name in NAMES for _ in tables[name]]
    assert len({frame.key for frame in merged}) == 12


def test_each_drives_own_figures_stand_beside_the_merged_ones(serial):
    metrics = json.loads((serial / "metrics.json").read_text())
    for name in NAMES:
        alone = json.loads((serial / "drives" / name / "metrics.json").read_text())
        assert metrics["drives"][name].items() <= alone.items()
        assert metrics["drives"][name]["position_error_m"]["median"] is not None


def test_the_page_names_every_drive_and_links_to_its_page(serial):
    page = (serial / "report.html").read_text()
    for name in NAMES:
        assert f'<a href="drives/{name}/report.html">{name}</a>' in page
    assert "<i>odd" not in page and str(serial) not in page
    assert "12 of 12 frames localized" in page


def test_two_fleets_are_compared_drive_by_drive(geodistill, serial, tmp_path):
    shutil.copytree(serial, tmp_path / "again")
    ran = geodistill("compare", serial, tmp_path / "again", "-o", tmp_path / "out", "--json", "-")
    assert ran.code == 0, ran.err
    (comparison,) = json.loads(ran.out)["comparisons"]
    assert comparison["verdict"] == "undecided" and comparison["pairs"] == 12


def test_finished_drives_are_kept_and_changed_ones_run_again(geodistill, drives, checkpoint, serial, tmp_path):
    for bag in drives:
        for suffix in (".mcap", ".mbtiles", ".json"):
            shutil.copy(bag.with_suffix(suffix), tmp_path)
    out = tmp_path / "out"
    arguments = ("replay", *sorted(tmp_path.glob("*.mcap")), "--model", checkpoint, "-o", out)
    assert geodistill(*arguments).code == 0
    assert hashes(out) == hashes(serial)

    def kept():
        ran = geodistill(*arguments)
        assert ran.code == 0
        return sorted(line.split(":")[0] for line in ran.err.splitlines() if "done before" in line)

    assert kept() == NAMES
    (out / "drives" / "east" / "finished.json").unlink()
    assert kept() == ["_i_odd", "north"]
    with (out / "drives" / "north" / "frames.csv").open("a") as table:
        table.write("tampered\n")
    assert kept() == ["_i_odd", "east"]
    assert hashes(out) == hashes(serial)
    with (tmp_path / "east.json").open("a") as sidecar:
        sidecar.write("\n")
    assert kept() == ["_i_odd", "north"]


@pytest.mark.parametrize("changed", [{"prior": "flat"}, {"threads": 2}, {"reader": ReaderOptions(sigma_height_m=0.1)}])
def test_another_plan_is_another_run_but_another_place_is_not(drives, checkpoint, serial, tmp_path, changed):
    shutil.copytree(serial / "drives" / "east", tmp_path / "east")
    shutil.copytree(checkpoint, tmp_path / "model")
    job, plan = DriveJob("east", drives[1], tmp_path / "east"), ReplayPlan(model=str(tmp_path / "model"))
    assert replay_or_keep(plan, job)
    assert not replay_or_keep(replace(plan, **changed), job)


def test_a_drive_that_cannot_be_read_is_named_and_the_others_are_scored(geodistill, drives, checkpoint, tmp_path):
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(drives[1].read_bytes()[:5000])
    ran = geodistill("replay", *drives, cut, "--model", checkpoint, "-o", tmp_path / "out")
    assert ran.code == 3
    assert "cut" in ran.err and "cut" in ran.out and "Traceback" not in ran.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["drives"]) == NAMES and list(metrics["failed"]) == ["cut"]
    assert metrics["frames"] == 12
    assert str(tmp_path) not in (tmp_path / "out" / "metrics.json").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Drives that could not be run" in page and "3 of 4 drives" in page


def test_when_no_drive_can_be_run_the_first_ones_reason_ends_it(geodistill, drives, checkpoint, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.mcap").write_bytes(b"no bag")
    ran = geodistill("replay", tmp_path / "a.mcap", tmp_path / "b.mcap", "--model", checkpoint, "-o", tmp_path / "out")
    assert ran.code == 4
    assert "none of 2 drives could be run; a: " in ran.err and "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--live",), 2, "--live plays one drive"),
        (("--timing",), 2, "time one drive alone"),
        (("--jobs", "0"), 2, "--jobs"),
        (("--model", "huge"), 4, "huge"),
        (("--map", "nowhere.mbtiles"), 4, "nowhere.mbtiles"),
        (("--prior", "uniform"), 2, "uniform"),
        (("nowhere.mcap",), 4, "nowhere.mcap"),
    ],
)
def test_what_is_wrong_with_a_fleet_is_said_at_once(geodistill, drives, tmp_path, arguments, code, words):
    ran = geodistill("replay", *drives, "-o", tmp_path, *arguments)
    assert ran.code == code
    assert words in ran.err and "Traceback" not in ran.err


def test_ctrl_c_merges_what_has_ended_and_is_resumed(geodistill, drives, checkpoint, serial, tmp_path):
    program = """
import os, signal, sys
from geodistill_core.cli.main import main
from geodistill_core.evaluation.fleet import drive as fleet_drive
signal.signal(signal.SIGINT, signal.default_int_handler)
run = fleet_drive.replay_drive
def stop_at_the_second(bag, folder, plan):
    if folder.name == "east":
        os.kill(os.getpid(), signal.SIGINT)
    return run(bag, folder, plan)
fleet_drive.replay_drive = stop_at_the_second
main(sys.argv[1:])
"""
    arguments = ["replay", *map(str, drives), "--model", str(checkpoint), "-o", str(tmp_path)]
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["incomplete"] == "interrupted, 2 of 3 drives have not ended"
    assert list(metrics["drives"]) == ["_i_odd"]
    assert "2 of 3 drives have not ended" in (tmp_path / "report.html").read_text()
    ran = geodistill(*arguments)
    assert ran.code == 0 and "_i_odd: done before, kept" in ran.err
    assert hashes(tmp_path) == hashes(serial)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
