# SPDX-License-Identifier: Apache-2.0
"""Many drives: folders, fates, processes and Ray, with drives that are plain text."""

from __future__ import annotations

import os
import subprocess
import sys

import fleet_works
import pytest
from fleet_works import do_as_told, leave_a_mark, own_process

from geodistill_core.errors import BagError, ConfigError
from geodistill_core.evaluation.fleet.cluster import on_ray
from geodistill_core.evaluation.fleet.jobs import Fate, drive_jobs, one_by_one
from geodistill_core.evaluation.fleet.processes import in_processes


def bags(folder, **told):
    """A text file for each drive."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in told.items():
        (folder / f"{name}.mcap").write_text(content)
    return [folder / f"{name}.mcap" for name in told]


def names(paths, folder):
    return [job.name for job in drive_jobs(paths, folder)]


def test_a_drive_is_named_after_its_bag_whatever_the_order(tmp_path):
    paths = bags(tmp_path, morning="", evening="")
    assert names(paths, tmp_path) == names(paths[::-1], tmp_path) == ["evening", "morning"]
    assert drive_jobs(paths, tmp_path / "out")[0].folder == tmp_path / "out" / "drives" / "evening"


def test_a_recording_that_is_a_folder_keeps_its_whole_name(tmp_path):
    (tmp_path / "drive_2026.05.01").mkdir()
    assert names([tmp_path / "drive_2026.05.01"], tmp_path) == ["drive_2026.05.01"]


def test_bags_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    paths = [*bags(tmp_path / "a", drive=""), *bags(tmp_path / "b", drive="")]
    assert names(paths, tmp_path) == ["a-drive", "b-drive"]


def test_hostile_names_stay_inside_the_output_folder(tmp_path):
    hostile = tmp_path / "..;rm -rf $HOME <script>"
    assert names(bags(tmp_path, **{hostile.name: ""}), tmp_path) == ["_rm_-rf_HOME_script_"]


def test_names_that_cannot_be_told_apart_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="same folder names"):
        drive_jobs(bags(tmp_path, **{"a b": "", "a_b": ""}), tmp_path)


def test_a_bag_given_twice_and_one_that_is_missing_are_refused_by_name(tmp_path):
    (path,) = bags(tmp_path, drive="")
    with pytest.raises(ConfigError, match=r"drive.mcap is given 2 times"):
        drive_jobs([path, tmp_path / "." / "drive.mcap"], tmp_path)
    with pytest.raises(BagError, match=r"nowhere.mcap does not exist"):
        drive_jobs([path, tmp_path / "nowhere.mcap"], tmp_path)


def local_ray():
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'geodistill[fleet]')")
    from ray import cloudpickle

    # a worker of Ray does not find the folder of the tests
    cloudpickle.register_pickle_by_value(fleet_works)
    return on_ray("local", 2)


TOLD = {"good": "", "again": "kept", "torn": "damaged", "odd": "config", "wrong": "bug"}
FATES = {
    "good": Fate("good"),
    "again": Fate("again", kept=True),
    "torn": Fate("torn", "torn.mcap is ?[31mdamaged", exit_code=4),
    "odd": Fate("odd", "odd.mcap lacks a topic", exit_code=2),
    "wrong": Fate("wrong", "IndexError: list index out of range", exit_code=1),
}


@pytest.mark.parametrize("runner", [one_by_one, in_processes(2)], ids=["serial", "processes"])
def test_every_drive_has_its_own_fate(runner, tmp_path):
    jobs = drive_jobs(bags(tmp_path, **TOLD), tmp_path / "out")
    assert {fate.name: fate for fate in runner(do_as_told, jobs)} == FATES
    assert [job.name for job in jobs if (job.folder / "mark").exists()] == ["again", "good"]


def test_on_ray_every_drive_has_its_own_fate_even_when_its_worker_is_lost(tmp_path):
    jobs = drive_jobs(bags(tmp_path, **TOLD, big="killed", gone=""), tmp_path / "out")
    (tmp_path / "gone.mcap").unlink()
    fates = {fate.name: fate for fate in local_ray()(do_as_told, jobs)}
    assert "worker was lost" in fates.pop("big").problem
    assert "gone.mcap is not on the machine" in fates.pop("gone").problem
    assert fates == FATES


def test_a_process_that_dies_takes_only_its_own_drive_with_it(tmp_path):
    told = {f"good{i}": "" for i in range(3)} | {"big": "killed", "gone": "exit"}
    jobs = drive_jobs(bags(tmp_path, **told), tmp_path / "out")
    fates = {fate.name: fate.problem for fate in in_processes(2)(do_as_told, jobs)}
    assert {name for name, problem in fates.items() if problem is None} == {"good0", "good1", "good2"}
    assert "memory" in fates["big"] and "exit code 7" in fates["gone"]


def test_no_more_processes_than_asked_for_run_all_the_drives(tmp_path):
    jobs = drive_jobs(bags(tmp_path, **{f"drive{i}": "" for i in range(5)}), tmp_path / "out")
    assert len(list(in_processes(2)(own_process, jobs))) == 5
    pids = {(job.folder / "pid").read_text() for job in jobs}
    assert 1 <= len(pids) <= 2 and str(os.getpid()) not in pids


@pytest.mark.parametrize("count", [0, 257])
def test_a_senseless_number_of_jobs_is_refused_with_its_limits(count):
    with pytest.raises(ConfigError, match=rf"jobs {count} is outside 1\.\.256"):
        in_processes(count)


def spawned():
    """Processes that this one has spawned, whichever test did."""
    children = subprocess.run(
        ["ps", "-ww", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True
    )
    return {line.split()[0] for line in children.stdout.splitlines() if "spawn_main" in line}


def test_an_abandoned_run_leaves_no_process_behind(tmp_path):
    jobs = drive_jobs(bags(tmp_path, a="", b="slow"), tmp_path / "out")
    before = spawned()
    fates = in_processes(2)(do_as_told, jobs)
    assert next(fates).name == "a"
    ours = spawned() - before
    assert len(ours) == 2
    fates.close()
    assert not spawned() & ours


def test_a_cluster_that_is_not_there_is_named_with_the_way_out(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'geodistill[fleet]')")
    jobs = drive_jobs(bags(tmp_path, a=""), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1.*use --jobs"):
        list(on_ray("127.0.0.1:1")(leave_a_mark, jobs))


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install .*geodistill\[fleet\]"):
        on_ray("local")
