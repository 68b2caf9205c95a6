# SPDX-License-Identifier: Apache-2.0
"""Adapting to a drive: pairs from a recording, the whole run on a short one, and what happens to its result."""

import json
from dataclasses import replace

import numpy as np
import pytest
from geodistill_training.adapt.bag_pairs import BagPairs
from geodistill_training.adapt.drive_job import DriveJob
from geodistill_training.adapt.drive_parts import divide_drive, spaced_frames
from geodistill_training.adapt.from_bag import adapt_to_drive
from geodistill_training.adapt.odometry import Odometry
from geodistill_training.adapt.pipeline import Engine
from geodistill_training.adapt.predictions import Predictions
from geodistill_training.cli import app
from geodistill_training.recipe import load_recipe
from geodistill_training.recipe.bag import BagData
from typer.testing import CliRunner

from geodistill_core.bags.reader import read_drive
from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.datasets.synthcity import SMALL_PANORAMA_RIG
from geodistill_core.errors import BagError, ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.models.checkpoint import load_checkpoint

FRAMES = 14
DATA = {"dataset": "bag", "spacing_m": 1.0, "tile_extent_m": 64.0, "block_m": 20.0, "gap_m": 1.0}


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """An easy drive through a style that the shipped network never saw."""
    return write_synth_drive(
        tmp_path_factory.mktemp("drive"), "campus", 30_000, "easy", FRAMES, frame_rate_hz=1.0, rig=SMALL_PANORAMA_RIG
    )


@pytest.fixture(scope="module")
def recipe():
    shipped = load_recipe("adapt-bag")
    stage = shipped.stages[0].model_copy(update={"steps": 2, "template_cells": 97})
    update = {"batch": 2, "stages": (stage,), "data": BagData.model_validate(DATA), "warm_up_steps": 1}
    return shipped.model_copy(update=update)


def job(drive, folder, **changes):
    made = DriveJob(drive.bag, drive.map, "tiny", folder / "run", folder / "new", engine=Engine(workers=0))
    return replace(made, **changes)


@pytest.fixture(scope="module")
def refused(drive, recipe, tmp_path_factory):
    """A whole run under the shipped rule: fourteen frames are too few to promote anything."""
    made = job(drive, tmp_path_factory.mktemp("refused"))
    return made, adapt_to_drive(recipe, made)


def test_frames_are_as_far_apart_as_the_wheels_say(drive):
    reader = read_drive(drive.bag)
    odometry = Odometry(reader)
    every = [frame for frame, _ in spaced_frames(reader, odometry, 0.0)]
    apart = list(spaced_frames(reader, odometry, 9.0))
    assert len(every) == FRAMES
    assert 2 < len(apart) < FRAMES
    places = [LocalFrame(every[0].truth.point).to_enu(f.truth.latitude, f.truth.longitude) for f, _ in apart]
    driven = np.linalg.norm(np.diff(np.array(places), axis=0), axis=1)
    # the odometry's scale is off by up to some percent, and a road bends
    assert driven.min() > 7.5
    along = [way for _, way in apart]
    np.testing.assert_allclose(np.diff(along), driven, rtol=0.15)


def test_a_drive_that_is_too_short_for_its_gap_is_refused_with_the_remedy(drive):
    reader = read_drive(drive.bag)
    with pytest.raises(BagError, match=r"0 to learn from.*lower gap_m"):
        divide_drive(reader, Odometry(reader), BagData(spacing_m=1.0, gap_m=500.0))


def test_the_pairs_are_the_learned_frames_and_hold_no_truth(refused, drive, recipe):
    made, _ = refused
    pairs = BagPairs(made.run / "pairs")
    reader = read_drive(drive.bag)
    parts = divide_drive(reader, Odometry(reader), recipe.data)
    assert pairs.stamps_ns.tolist() == list(parts.learned)
    assert not set(parts.learned) & {stamp for block in parts.held for stamp in block}
    assert not (made.run / "pairs" / "truth.npy").exists()
    example = pairs.example(0, np.random.default_rng(0))
    assert example.truth is None
    assert example.tile.shape == (256, 256, 3)
    assert example.mount[2] == pytest.approx(drive.manifest.mount[2, 3], abs=0.05)


def test_the_teachers_pseudo_labels_are_the_localizers_own_answers(refused, drive):
    made, _ = refused
    pairs, said = BagPairs(made.run / "pairs"), Predictions.load(made.run / "teacher" / "predictions.npz")
    localizer = Localizer.load("tiny", drive.map, LocalizerConfig(tile_extent_m=64.0))
    stamp = int(pairs.stamps_ns[2])
    frame = next(f for f in read_drive(drive.bag).frames() if f.stamp_ns == stamp)
    found = localizer.locate(frame.image, frame.frame_prior.prior)
    east_m, north_m = LocalFrame(found.tile.center).to_enu(found.latitude, found.longitude)
    assert (said.east_m[2], said.north_m[2]) == (pytest.approx(east_m, abs=1e-6), pytest.approx(north_m, abs=1e-6))
    assert said.keys.tolist() == pairs.keys()
    np.testing.assert_array_equal(pairs.example(2, np.random.default_rng(0)).tile, found.tile.rgb)


def test_each_phase_leaves_its_folder_and_the_filter_drops_the_largest_change(refused):
    made, _ = refused
    for name in ("teacher", "auxiliary"):
        assert (made.run / name / "predictions.npz").is_file()
    teacher, auxiliary = (Predictions.load(made.run / n / "predictions.npz") for n in ("teacher", "auxiliary"))
    change = np.hypot(teacher.east_m - auxiliary.east_m, teacher.north_m - auxiliary.north_m)
    found = json.loads((made.run / "filter.json").read_text())
    assert found["total"] == len(change)
    assert found["kept"] == int((change < np.quantile(change, 0.8)).sum()) < found["total"]
    assert (made.run / "final" / "last" / "manifest.json").is_file()


def test_a_network_that_is_not_shown_to_be_better_is_not_promoted(refused):
    made, verdict = refused
    assert not verdict.promoted
    assert not made.output.exists()
    report = json.loads((made.run / "verdict.json").read_text())
    assert report["promoted"] is False
    assert {c["name"]: c["met"] for c in report["criteria"]}["held-out runs of frames"] is False
    assert report["truth_not_used"]["old"]["frames"] == report["frames"]["held_out"]


def test_the_candidate_says_where_it_comes_from_and_that_its_calibration_is_not_its_own(refused):
    made, _ = refused
    _, manifest = load_checkpoint(made.run / "candidate")
    _, shipped = load_checkpoint("tiny")
    assert manifest.sha256 != shipped.sha256
    assert manifest.training["adapted_from"]["sha256"] == shipped.sha256
    assert manifest.calibration.fitted_on.startswith("not fitted to these weights")
    assert manifest.calibration.temperature >= shipped.calibration.temperature


def test_what_is_promoted_is_written_and_a_finished_run_is_not_trained_again(refused, recipe, tmp_path, monkeypatch):
    made, refusal = refused
    trained = (made.run / "final" / "snapshot.pt").stat().st_mtime_ns
    better = replace(refusal, criteria=tuple(replace(line, met=True) for line in refusal.criteria))
    monkeypatch.setattr("geodistill_training.adapt.promote.judge", lambda frames, inflation, rule: better)
    assert adapt_to_drive(recipe, replace(made, output=tmp_path / "new")).promoted
    _, manifest = load_checkpoint(tmp_path / "new")
    assert manifest.name == "tiny-new"
    assert json.loads((tmp_path / "new" / "verdict.json").read_text())["promoted"] is True
    assert (made.run / "final" / "snapshot.pt").stat().st_mtime_ns == trained


def test_a_run_of_another_drive_or_a_full_output_is_refused(refused, recipe, tmp_path):
    made, _ = refused
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    with pytest.raises(ConfigError, match="is not empty"):
        adapt_to_drive(recipe, replace(made, output=tmp_path / "full"))
    run = tmp_path / "run"
    run.mkdir()
    known = json.loads((made.run / "drive.json").read_text())
    (run / "drive.json").write_text(json.dumps(known | {"bag_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match="use another run folder"):
        adapt_to_drive(recipe, replace(made, run=run))


def test_the_command_exits_with_three_and_names_what_was_missing(refused, recipe, tmp_path):
    made, _ = refused
    config = tmp_path / "recipe.yaml"
    config.write_text(json.dumps(recipe.model_dump(mode="json")))
    options = ["--bag", str(made.bag), "--map", str(made.map), "--run", str(made.run), "--workers", "0"]
    ran = CliRunner().invoke(
        app, ["adapt", "--config", str(config), *options, "-o", str(tmp_path / "new"), "--threads", "1"]
    )
    assert ran.exit_code == 3, ran.output
    assert "not promoted" in ran.output
    assert "held-out runs of frames" in ran.output
    assert not (tmp_path / "new").exists()
