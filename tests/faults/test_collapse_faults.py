# SPDX-License-Identifier: Apache-2.0
"""A teacher that has become its student, and heat maps that tell no place, stop a run."""

import sys
from pathlib import Path

import pytest
from geodistill_training.engine import collapse
from geodistill_training.engine.training import train
from geodistill_training.families.tiny import TinyFamily
from geodistill_training.objectives.distill import DistillObjective

from geodistill_core.errors import TrainingError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))
from noise_cities import DISTILL, recipe_of, sets_of, write_cities


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    return write_cities(tmp_path_factory.mktemp("cities"))


def events(run):
    return (run / "events.log").read_text()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(collapse, "PATIENCE_STEPS", 3)


def distilling(cities, run, **options):
    recipe = recipe_of({**DISTILL, "steps": 6}, distill={"teacher_period": 2, **options})
    return train(recipe, run, sets_of(cities, recipe), None, workers=0)


def test_t07_a_teacher_that_is_the_student_stops_the_run(cities, tmp_path, monkeypatch, impatient):
    begin = DistillObjective.begin_stage

    def shared(objective):
        begin(objective)
        objective.teacher.network = objective.family.network

    monkeypatch.setattr(DistillObjective, "begin_stage", shared)
    with pytest.raises(TrainingError, match=r"collapsed at step 2 \(twin teacher"):
        distilling(cities, tmp_path)
    assert "twin teacher" in events(tmp_path)


def test_t07_heat_maps_that_tell_no_place_stop_the_run(cities, tmp_path, monkeypatch, impatient):
    heatmaps = TinyFamily.heatmaps
    flat = lambda *inputs: tuple(level * 1e-6 for level in heatmaps(*inputs))  # noqa: E731
    monkeypatch.setattr(TinyFamily, "heatmaps", flat)
    with pytest.raises(TrainingError, match=r"uniform heat maps.*learned to localize"):
        distilling(cities, tmp_path)


def test_t07_sound_distillation_is_left_alone(cities, tmp_path, impatient):
    assert distilling(cities, tmp_path / "ema").ended is None
    assert distilling(cities, tmp_path / "previous", teacher="previous", teacher_period=1).ended is None


def test_t07_one_sound_step_resets_the_count(impatient):
    guard = collapse.CollapseGuard()
    for flatness in (1.0, 1.0, 0.5, 1.0, 1.0):
        guard.check(0, {"teacher_flatness": flatness})
    with pytest.raises(TrainingError, match="uniform"):
        guard.check(0, {"teacher_flatness": 1.0})
