# SPDX-License-Identifier: Apache-2.0
"""R11, R12 and their kin: the same bytes on any machine, and a run that ends early leaves what it had done."""

from __future__ import annotations

import csv
import json
import os
import signal

import pytest
import torch

from geodistill_core.bags.source import open_bag
from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.datasets.synthcity import SMALL_PANORAMA_RIG
from geodistill_core.errors import BagError
from geodistill_core.evaluation import replay as offline
from geodistill_core.evaluation.interrupt import interrupts_between_frames
from geodistill_core.evaluation.replay import ReplayPlan, replay_drive
from geodistill_core.models import build
from geodistill_core.models.checkpoint import save_checkpoint

FILES = {
    "estimate.tum", "frames.csv", "metrics.json", "report.html", "results.mcap", "run.json", "truth.tum",
}  # fmt: skip
FRAMES = 5


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drive")
    return write_synth_drive(
        folder, "midtown", 20_000, "easy", FRAMES, frame_rate_hz=2.0, rig=SMALL_PANORAMA_RIG, size_m=320.0
    )


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint") / "untrained"
    description = {
        "name": "untrained", "architecture": "tiny", "arguments": {"widths": (8, 8, 8, 8)}, "inputs": {},
        "metres_per_pixel": 0.25, "preprocessing": "none", "training": {}, "calibration": None, "licence": "Apache-2.0",
    }  # fmt: skip
    save_checkpoint(folder, build("tiny", widths=(8, 8, 8, 8)), description)
    return ReplayPlan(model=str(folder))


def after(frames, act):
    """A localizer call that acts once so many frames have been asked for."""
    asked, real = [], offline.attempt

    def attempt(*arguments):
        asked.append(1)
        if len(asked) == frames:
            act()
        return real(*arguments)

    return attempt


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_r11_the_same_run_leaves_the_same_bytes_whatever_the_number_of_processors(drive, plan, tmp_path):
    before = torch.get_num_threads()
    try:
        for count, name in ((1, "one"), (3, "three")):
            torch.set_num_threads(count)
            replay_drive(drive.bag, tmp_path / name, plan)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    one, three = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "three"))
    assert set(one) == FILES
    assert {name for name in FILES if one[name] != three[name]} == set()


def test_r11_no_file_names_a_folder_of_this_machine(drive, plan, tmp_path):
    replay_drive(drive.bag, tmp_path / "out", plan)
    for path in (tmp_path / "out").iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path
        assert str(drive.bag.parent).encode() not in path.read_bytes(), path


def test_r12_ctrl_c_leaves_a_partial_report_marked_incomplete(drive, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "attempt", after(3, interrupt))
    with pytest.raises(KeyboardInterrupt):
        replay_drive(drive.bag, tmp_path, plan)
    metrics = metrics_of(tmp_path)
    assert metrics["incomplete"] == f"interrupted, after 3 of {FRAMES} frames"
    assert metrics["frames"] == 3 == metrics["frames_localized"] + sum(metrics["dropped"].values())
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert open_bag(tmp_path / "results.mcap").topics["/geodistill/pose"].messages == metrics["frames_localized"]
    assert "incomplete: interrupted, after 3 of 5 frames" in (tmp_path / "report.html").read_text()
    with (tmp_path / "frames.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3


def test_r12_the_command_ends_with_130_and_says_where_the_rest_lies(drive, plan, tmp_path, monkeypatch, capsys):
    from geodistill_core.cli.main import main

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(offline, "attempt", after(1, interrupt))
    with pytest.raises(SystemExit) as ended:
        main(["replay", str(drive.bag), "--model", plan.model, "-o", str(tmp_path / "out"), "--json", "-"])
    printed = capsys.readouterr()
    assert ended.value.code == 130
    assert printed.out == "" and "interrupted" in printed.err and str(tmp_path / "out") in printed.err
    assert metrics_of(tmp_path / "out")["frames"] == 1


def test_a_second_ctrl_c_does_not_wait(drive, plan, tmp_path, monkeypatch):
    def twice():
        interrupt()
        interrupt()
        raise AssertionError("the second was not heard")

    monkeypatch.setattr(offline, "attempt", after(2, twice))
    with pytest.raises(KeyboardInterrupt):
        replay_drive(drive.bag, tmp_path, plan)
    assert metrics_of(tmp_path)["frames"] == 1


def test_an_interrupt_that_came_too_late_to_matter_is_not_swallowed():
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts_between_frames():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_process_that_is_deaf_to_ctrl_c_stays_deaf():
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_between_frames() as check:
            interrupt()
            check()
    finally:
        signal.signal(signal.SIGINT, handler)


def fail():
    raise BagError("/somewhere/drive.mcap is damaged")


def test_damage_found_on_the_way_is_raised_after_the_frames_before_it_are_saved(drive, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "attempt", after(4, fail))
    with pytest.raises(BagError, match="damaged"):
        replay_drive(drive.bag, tmp_path, plan)
    metrics = metrics_of(tmp_path)
    assert metrics["frames"] == 3 and metrics["incomplete"] == f"stopped by a BagError, after 3 of {FRAMES} frames"


def test_a_run_that_fails_at_once_leaves_no_files(drive, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "attempt", after(1, fail))
    with pytest.raises(BagError):
        replay_drive(drive.bag, tmp_path, plan)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_cut_short_is_replaced_by_a_whole_one(drive, plan, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(offline, "attempt", after(2, interrupt))
        with pytest.raises(KeyboardInterrupt):
            replay_drive(drive.bag, tmp_path, plan)
    replay_drive(drive.bag, tmp_path, plan)
    metrics = metrics_of(tmp_path)
    assert metrics["frames"] == FRAMES and "incomplete" not in metrics
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_an_index_that_counts_images_which_are_not_there_is_told(drive, plan, tmp_path, monkeypatch):
    from geodistill_core.bags.reader import DriveReader

    monkeypatch.setattr(DriveReader, "image_count", FRAMES + 2)
    metrics = replay_drive(drive.bag, tmp_path, plan)
    assert metrics["incomplete"].endswith(f"after {FRAMES} of {FRAMES + 2} frames")


def test_a_sidecar_cannot_make_a_map_of_a_file_elsewhere(drive, tmp_path):
    from geodistill_core.bags.reader import read_drive
    from geodistill_core.errors import MapError

    reader = read_drive(drive.bag)
    for name in ("/etc/passwd", "../elsewhere.mbtiles"):
        reader.manifest = reader.manifest.model_copy(update={"map": name})
        with pytest.raises(MapError, match="not beside it"):
            offline.map_beside(reader)
