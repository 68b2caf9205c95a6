# SPDX-License-Identifier: Apache-2.0
"""T01 to T07: what goes wrong in a long training is named, and costs no more than it must."""

import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from geodistill_training import follow
from geodistill_training.data.batches import StepBatches
from geodistill_training.engine import atomic
from geodistill_training.engine.learner import Learner
from geodistill_training.engine.loading import named_death_of_a_worker
from geodistill_training.engine.session import Session
from geodistill_training.engine.snapshot import differences, read_snapshot
from geodistill_training.engine.training import train
from geodistill_training.objectives.weak import WeakObjective

from geodistill_core.cli.main import VERBS, main
from geodistill_core.errors import CheckpointError, DatasetError, TrainingError
from geodistill_core.models.checkpoint import load_checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))
from noise_cities import DISTILL, WEAK, held_out, recipe_of, sets_of, write_cities

FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    return write_cities(tmp_path_factory.mktemp("cities"))


def weights_of(outcome):
    return {key: tensor.clone() for key, tensor in outcome.network.state_dict().items()}


def largest_difference(a, b):
    return max(float((a[key] - b[key]).abs().max()) for key in a)


def in_another_process(function):
    """Exit code of a process that runs `function`; it inherits what this one has imported and patched."""
    process = FORK.Process(target=function)
    process.start()
    process.join(timeout=120)
    assert process.exitcode is not None, "hangs"
    return process.exitcode


def events(run):
    return (run / "events.log").read_text()


# T01


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_t01_examples_that_cannot_be_read_are_named_and_replaced_by_the_same_others_every_time(tmp_path):
    root = write_cities(tmp_path / "cities", cities=3)
    truncate(root / "pairs" / "noise-1" / "pixels.npy")
    recipe = recipe_of({**WEAK, "steps": 6}, method="weak")
    outcomes = [train(recipe, tmp_path / name, sets_of(root, recipe), None, workers=0) for name in "ab"]
    assert largest_difference(*(weights_of(outcome) for outcome in outcomes)) == 0
    lines = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["weak/loss"]) for line in lines)
    said = events(tmp_path / "a")
    assert "noise-1/pixels.npy" in said
    assert 1 <= said.count("skipped and replaced: example") <= 4  # each of the four is named once


def test_t01_the_rows_beside_a_broken_example_are_what_they_were(cities, tmp_path):
    recipe = recipe_of({**WEAK, "steps": 4}, method="weak")
    sound = StepBatches(recipe, sets_of(cities, recipe))[0]
    root = write_cities(tmp_path, cities=2)
    truncate(root / "pairs" / sound.keys[0].split("/")[0] / "tile.npy")
    batch = StepBatches(recipe, sets_of(root, recipe))[0]
    assert batch.keys[0] != sound.keys[0]
    for row, key in enumerate(sound.keys):
        if key.split("/")[0] != sound.keys[0].split("/")[0]:
            assert torch.equal(batch.ground.pixels[row], sound.ground.pixels[row])


def test_t01_too_many_broken_examples_stop_the_run_with_a_list_of_them(tmp_path):
    root = write_cities(tmp_path / "cities", cities=5)
    for city in (0, 1):
        truncate(root / "pairs" / f"noise-{city}" / "tile.npy")
    recipe = recipe_of({**WEAK, "steps": 20}, method="weak")
    with pytest.raises(DatasetError, match=r"6 examples cannot be read, limit 5") as found:
        train(recipe, tmp_path / "run", sets_of(root, recipe), None, workers=0)
    assert str(found.value).count("tile.npy cannot be read") == 6
    assert "6 examples cannot be read" in events(tmp_path / "run")


# T02


def poison(monkeypatch, steps, gradient=False):
    loss = WeakObjective.loss

    def poisoned(objective, batch):
        found, watched = loss(objective, batch)
        if batch.step not in steps or not torch.is_grad_enabled():
            return found, watched
        if not gradient:
            return found * torch.nan, watched
        weight = next(objective.family.network.parameters()).flatten()[0]
        return found + (weight * 0).sqrt(), watched  # zero with an infinite slope: 0 * inf

    monkeypatch.setattr(WeakObjective, "loss", poisoned)


@pytest.mark.parametrize("gradient", [False, True], ids=["loss", "gradient"])
def test_t02_three_steps_that_are_not_finite_are_skipped_and_the_run_goes_on(cities, tmp_path, monkeypatch, gradient):
    recipe = recipe_of({**WEAK, "steps": 5}, method="weak")
    poison(monkeypatch, {1, 2, 3}, gradient)
    weights = weights_of(train(recipe, tmp_path, sets_of(cities, recipe), None, workers=0))
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert [f"step {k} skipped" in events(tmp_path) for k in range(5)] == [False, True, True, True, False]


def test_t02_four_in_a_row_stop_the_run_name_their_examples_and_leave_finite_checkpoints(cities, tmp_path, monkeypatch):
    recipe = recipe_of({**WEAK, "steps": 8}, method="weak", validation={"every_steps": 1, "examples": 4})
    poison(monkeypatch, {3, 4, 5, 6})
    with pytest.raises(TrainingError, match=r"not_finite\.json"):
        train(recipe, tmp_path, sets_of(cities, recipe), held_out(cities), workers=0)
    dump = json.loads((tmp_path / "not_finite.json").read_text())
    assert [record["step"] for record in dump] == [3, 4, 5, 6]
    assert all(key.startswith("noise-") for record in dump for key in record["keys"])
    for name in ("best", "last"):
        network, _ = load_checkpoint(tmp_path / name)
        assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())


def test_t02_a_validation_that_is_not_finite_is_never_the_best(cities, tmp_path, monkeypatch):
    loss, validations = WeakObjective.loss, iter([0.0, torch.nan, torch.nan])

    def judged(objective, batch):
        found, watched = loss(objective, batch)
        return (found if torch.is_grad_enabled() else found + next(validations)), watched

    monkeypatch.setattr(WeakObjective, "loss", judged)
    recipe = recipe_of(WEAK, method="weak", validation={"every_steps": 1, "examples": 2})
    outcome = train(recipe, tmp_path, sets_of(cities, recipe), held_out(cities), workers=0)
    assert outcome.best.resolve().name == "step-0000001"


# T03


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(monkeypatch, step, place):
    """Kill the process at a step: before it, after it, or in the middle of writing the snapshot after it."""
    learn, save, sync = Learner.learn, Session.save, os.fsync

    def learning(learner, batch):
        if batch.step == step and place == "before":
            die()
        done = learn(learner, batch)
        if batch.step == step and place == "after":
            die()
        return done

    def saving(session):
        if session.step == step + 1 and place == "saving":
            monkeypatch.setattr(atomic.os, "fsync", lambda _: die())
        save(session)

    monkeypatch.setattr(Learner, "learn", learning)
    monkeypatch.setattr(Session, "save", saving)
    monkeypatch.setattr(atomic.os, "fsync", sync)


def test_t03_ten_kills_at_random_steps_each_resumed_end_with_the_weights_of_an_uninterrupted_run(
    cities, tmp_path, monkeypatch
):
    pretext = {"name": "pretext", "steps": 4, "learning_rate": 1e-2, "cycle": ["pretext", "weak"]}
    validation = {"every_steps": 5, "examples": 2, "monitor": "mean_m"}
    recipe = recipe_of(pretext, WEAK, {**DISTILL, "steps": 5}, validation=validation)
    sets, judged = sets_of(cities, recipe), held_out(cities)
    whole = train(recipe, tmp_path / "whole", sets, judged, workers=0)
    rng = np.random.default_rng(3)
    steps = sorted(int(step) for step in rng.choice(recipe.steps, 10, replace=False))
    for step in steps:
        with monkeypatch.context() as patch:
            kill_at(patch, step, str(rng.choice(["before", "after", "saving"])))
            code = in_another_process(
                lambda: train(recipe, tmp_path / "cut", sets, judged, workers=0, snapshot_every_s=0)
            )
        assert code == -signal.SIGKILL
    resumed = train(recipe, tmp_path / "cut", sets, judged, workers=0)
    assert largest_difference(weights_of(whole), weights_of(resumed)) == 0
    assert resumed.history == whole.history
    ends = [read_snapshot(tmp_path / run / "snapshot.pt") for run in ("whole", "cut")]
    assert ends[0].watched == ends[1].watched
    teachers = [end.learned["objectives"]["distill"]["teacher"] for end in ends]
    assert largest_difference(*teachers) == 0
    moments = [end.learned["optimizer"]["state"] for end in ends]
    assert all(torch.equal(moments[0][k]["exp_avg_sq"], moments[1][k]["exp_avg_sq"]) for k in moments[0])
    figures = [(tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("whole", "cut")]
    timed = [[{**json.loads(line), "waiting": 0} for line in lines] for lines in figures]
    assert timed[0] == timed[1]


def test_t03_a_worker_that_loads_ahead_changes_nothing(cities, tmp_path, monkeypatch):
    recipe = recipe_of({**WEAK, "steps": 4}, method="weak")
    sets = sets_of(cities, recipe)
    whole = train(recipe, tmp_path / "whole", sets, None, workers=0)
    with monkeypatch.context() as patch:
        kill_at(patch, 2, "after")
        run = tmp_path / "cut"
        assert in_another_process(lambda: train(recipe, run, sets, None, workers=1, snapshot_every_s=0)) < 0
    resumed = train(recipe, tmp_path / "cut", sets, None, workers=1)
    assert largest_difference(weights_of(whole), weights_of(resumed)) == 0


# T04


def test_t04_a_kill_while_a_snapshot_is_written_leaves_the_one_before(cities, tmp_path, monkeypatch):
    recipe = recipe_of(WEAK, method="weak")
    sets = sets_of(cities, recipe)
    kill_at(monkeypatch, 1, "saving")
    code = in_another_process(lambda: train(recipe, tmp_path, sets, None, workers=0, snapshot_every_s=0))
    assert code == -signal.SIGKILL
    assert (tmp_path / ".snapshot.pt.partial").is_file()
    assert read_snapshot(tmp_path / "snapshot.pt").step == 1


def train_with_little_room(recipe, run, sets):
    """Let files grow to 200 kB at most from the second step on; exit code 7 tells that the right error came."""
    learn = Learner.learn

    def learning(learner, batch):
        if batch.step == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        return learn(learner, batch)

    Learner.learn = learning
    try:
        train(recipe, run, sets, None, workers=0, snapshot_every_s=0)
    except TrainingError as error:
        os._exit(7 if "before is intact" in str(error) and "MB free" in str(error) else 8)


def test_t04_a_snapshot_that_finds_no_room_says_so_and_leaves_the_one_before(cities, tmp_path):
    recipe = recipe_of(WEAK, method="weak")
    sets = sets_of(cities, recipe)
    assert in_another_process(lambda: train_with_little_room(recipe, tmp_path, sets)) == 7
    assert read_snapshot(tmp_path / "snapshot.pt").step == 1
    assert not (tmp_path / ".snapshot.pt.partial").exists()
    assert train(recipe, tmp_path, sets, None, workers=0).ended is None


def test_t04_a_full_disk_leaves_a_snapshot_that_loads(cities, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    try:
        recipe = recipe_of({**WEAK, "steps": 6}, method="weak")
        with pytest.raises(TrainingError, match="No space left on device"):
            train(recipe, disk / "run", sets_of(cities, recipe), None, workers=0, snapshot_every_s=0)
        assert read_snapshot(disk / "run" / "snapshot.pt").step == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_t04_a_damaged_snapshot_is_named(cities, tmp_path):
    recipe = recipe_of(WEAK, method="weak")
    train(recipe, tmp_path, sets_of(cities, recipe), None, workers=0)
    truncate(tmp_path / "snapshot.pt")
    with pytest.raises(CheckpointError, match=r"snapshot.pt is damaged"):
        train(recipe, tmp_path, sets_of(cities, recipe), None, workers=0)


# T05


@pytest.fixture
def command(cities, tmp_path, monkeypatch):
    """`geodistill train weak` over noise; returns its exit code."""
    recipe = tmp_path / "recipe.yaml"
    monkeypatch.setitem(VERBS, "train", ("geodistill_training.cli:app", "As installed."))
    monkeypatch.setattr(follow, "open_sets", lambda recipe, *_: sets_of(cities, recipe))
    monkeypatch.setattr(follow, "open_validation", lambda *_: None)

    def run(changes, *options):
        recipe.write_text(json.dumps(recipe_of(WEAK, method="weak", **changes).model_dump(mode="json")))
        paths = ["--config", str(recipe), "--run", str(tmp_path / "run"), "-o", str(tmp_path / "out")]
        with pytest.raises(SystemExit) as ended:
            main(["train", "weak", *paths, "--workers", "0", "--threads", "1", "--calibration-pairs", "0", *options])
        return ended.value.code

    return run


def test_t05_a_changed_recipe_is_refused_with_the_differences_unless_it_is_allowed(command, tmp_path, capsys):
    assert command({}, "--json", str(tmp_path / "summary.json")) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["checkpoint"] == str(tmp_path / "out")
    load_checkpoint(tmp_path / "out")
    capsys.readouterr()
    before = (tmp_path / "run" / "snapshot.pt").read_bytes()
    assert command({"weight_decay": 0.5, "weak": {"turned_negatives": 1, "sharpness": 7}}) == 2
    said = capsys.readouterr().err
    assert "weight_decay: 0.0001 -> 0.5" in said
    assert "weak.sharpness: 20.0 -> 7.0" in said
    assert "seed" not in said
    assert (tmp_path / "run" / "snapshot.pt").read_bytes() == before
    assert command({"weight_decay": 0.5}, "--allow-config-change") == 0


def test_t05_every_kind_of_difference_is_listed():
    old = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "gone": True}
    new = {"a": 1, "b": {"c": [1, 3], "d": "x", "e": None}, "f": 2.0}
    assert differences(old, new) == ["b.c.1: 2 -> 3", "b.e: absent -> None", "f: absent -> 2.0", "gone: True -> absent"]


# T06


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS], ids=["killed", "shared-memory-full"])
def test_t06_a_loading_process_that_dies_is_explained(cities, tmp_path, monkeypatch, number):
    make = StepBatches.__getitem__

    def dying(batches, step):
        if step == 2:
            os.kill(os.getpid(), number)
        return make(batches, step)

    monkeypatch.setattr(StepBatches, "__getitem__", dying)
    recipe = recipe_of(WEAK, method="weak")
    with pytest.raises(TrainingError, match=r"--shm-size.*--workers 0") as found:
        train(recipe, tmp_path, sets_of(cities, recipe), None, workers=1)
    assert found.value.exit_code == 4
    assert "data loading process died" in events(tmp_path)
    subprocess.run(["true"], check=True)  # the end of another process does not report that one again


@pytest.mark.parametrize("noticed", [ConnectionResetError(104, "reset by peer"), EOFError()], ids=["reset", "end"])
def test_t06_a_process_that_dies_while_it_hands_a_batch_over_is_explained_too(noticed):
    with pytest.raises(TrainingError, match="data loading process died"), named_death_of_a_worker():
        raise noticed


def test_t06_other_errors_are_not_mistaken_for_a_dead_process():
    with pytest.raises(FileNotFoundError), named_death_of_a_worker():
        raise FileNotFoundError("no such tile")


def test_t06_an_error_in_a_loading_process_arrives_without_its_traceback(cities, tmp_path, monkeypatch):
    def broken(batches, step):
        raise DatasetError(f"step {step} is broken")

    monkeypatch.setattr(StepBatches, "__getitem__", broken)
    recipe = recipe_of(WEAK, method="weak")
    with pytest.raises(DatasetError) as found:
        train(recipe, tmp_path, sets_of(cities, recipe), None, workers=1)
    assert str(found.value) == "step 0 is broken"


# T07
