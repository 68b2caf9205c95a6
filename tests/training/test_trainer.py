# SPDX-License-Identifier: Apache-2.0
"""The loop: an interrupted run ends where an uninterrupted one does; nothing non-finite survives."""

import copy

import numpy as np
import pytest
import torch
from geodistill_training import trainer
from geodistill_training.batches import StepBatches
from geodistill_training.cache import city_jobs, open_city, render_city
from geodistill_training.recipe import DataRecipe, Recipe, StageRecipe, load_recipe

from geodistill_core.errors import CheckpointError, ConfigError

DATA = DataRecipe(cities_per_style=1, pairs_per_city=4, flats_per_city=2, first_seed=9_000)
STAGES = (
    StageRecipe(name="pretext", steps=2, learning_rate=1e-3, pretext=1.0),
    StageRecipe(name="weak", steps=2, learning_rate=1e-3, pretext=1.0, contrastive=1.0),
    StageRecipe(name="distill", steps=2, learning_rate=1e-3, distill=1.0),
)
RECIPE = Recipe(batch=2, stages=STAGES, data=DATA, teacher_period=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three cities of noise in the layout of the rendered cache."""
    root, rng = tmp_path_factory.mktemp("cache"), np.random.default_rng(0)
    shapes = {
        "pairs": {"strip": (2, 192, 256, 3), "visible": (2, 192, 256), "tile": (2, 256, 256, 3)},
        "flats": {"flat": (2, 256, 256, 3), "flat_source": (2, 512, 512, 3)},
    }
    for kind, arrays in shapes.items():
        for city in range(3):
            folder = root / kind / str(city)
            folder.mkdir(parents=True)
            for key, shape in arrays.items():
                np.save(folder / f"{key}.npy", rng.integers(0, 255, shape, np.uint8))
            np.save(folder / "mount.npy", np.full((2, 3), [0, 0, 2], np.float32))
            np.save(folder / "yaw.npy", np.array([0.3, -2.0], np.float32))
    return {kind: sorted((root / kind).iterdir()) for kind in shapes}


def test_a_rendered_city_has_the_layout_and_content_that_batches_read(tmp_path):
    data = DATA.model_copy(update={"pairs_per_city": 4})
    kinds = {kind: city_jobs(data, tmp_path, kind)[0] for kind in ("pairs", "flats")}
    for job in kinds.values():
        render_city(job, data)
    batches = StepBatches(RECIPE, [kinds["flats"].path], [kinds["pairs"].path])
    flat, pair = batches[0], batches[3]
    assert flat["strip"].shape == pair["strip"].shape == (2, 4, 192, 256)
    assert flat["tile"].shape == pair["tile"].shape == (2, 3, 256, 256)
    assert "place_m" in flat
    assert "place_m" not in pair
    assert not any("truth" in key or "position" in key for key in open_city(kinds["pairs"].path))
    assert float(pair["mount"][0, 2]) == pytest.approx(2.0, abs=0.1)


class StopError(Exception):
    pass


def test_a_run_interrupted_in_every_stage_ends_with_the_weights_of_an_uninterrupted_one(folders, tmp_path, monkeypatch):
    whole = trainer.train(RECIPE, **folders, run=tmp_path / "whole", workers=0)
    monkeypatch.setattr(trainer, "_SNAPSHOT_EVERY_S", -1.0)
    step = trainer.train_step
    for stop_after in (1, 3, 5):

        def stopping(state, recipe, batch, stop_after=stop_after):
            if state.step == stop_after:
                raise StopError
            return step(state, recipe, batch)

        monkeypatch.setattr(trainer, "train_step", stopping)
        with pytest.raises(StopError):
            trainer.train(RECIPE, **folders, run=tmp_path / "cut", workers=0)
    monkeypatch.setattr(trainer, "train_step", step)
    resumed = trainer.train(RECIPE, **folders, run=tmp_path / "cut", workers=0)
    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


def test_a_snapshot_of_another_recipe_is_refused(folders, tmp_path):
    state = trainer.fresh_state(RECIPE)
    tmp_path.mkdir(exist_ok=True)
    state.snapshot(tmp_path / "snapshot.pt", "other")
    with pytest.raises(CheckpointError, match="other"):
        trainer.train(RECIPE, **folders, run=tmp_path, workers=0)


def test_non_finite_losses_change_nothing_and_stop_the_run_when_they_repeat(folders, monkeypatch):
    state = trainer.fresh_state(RECIPE)
    before = copy.deepcopy(state.network.state_dict())
    monkeypatch.setattr(trainer, "_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    for _ in range(3):
        trainer.train_step(state, RECIPE, {})
    with pytest.raises(CheckpointError, match="not finite"):
        trainer.train_step(state, RECIPE, {})
    assert all(torch.equal(before[key], tensor) for key, tensor in state.network.state_dict().items())


def test_the_shipped_recipe_is_valid_and_a_typo_in_one_is_named(tmp_path):
    assert load_recipe("tiny").steps > 0
    path = tmp_path / "typo.yaml"
    path.write_text("stages: []\nbatchsize: 3\n")
    with pytest.raises(ConfigError, match="batchsize"):
        load_recipe(str(path))
