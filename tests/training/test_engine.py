# SPDX-License-Identifier: Apache-2.0
"""A run: what it leaves behind, how it is judged, when it ends, and that it never sees a label."""

import json
import math
import multiprocessing
import signal

import numpy as np
import pytest
import torch
from geodistill_training.data.batches import HeldOutBatches, StepBatches
from geodistill_training.data.synth_cache import city_jobs, open_city, render_city
from geodistill_training.data.synth_pairs import CachedPairs, FlatWorlds
from geodistill_training.describe import describe
from geodistill_training.engine.interrupt import StopRequest
from geodistill_training.engine.learner import Learner, initial_network, learning_rate
from geodistill_training.engine.monitor import Monitor
from geodistill_training.engine.run_folder import RunFolder
from geodistill_training.engine.training import train
from geodistill_training.engine.validation import heading_of, place_of
from geodistill_training.objectives.base import Objective
from geodistill_training.objectives.weak import WeakObjective
from geodistill_training.recipe import StageRecipe, load_recipe
from geodistill_training.recipe.data import SynthData
from noise_cities import DISTILL, WEAK, held_out, recipe_of, sets_of, write_cities

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.checkpoint import load_checkpoint, save_checkpoint
from geodistill_core.models.registry import build

VALIDATED = {"every_steps": 100, "examples": 4}


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    return write_cities(tmp_path_factory.mktemp("cities"))


@pytest.fixture(scope="module")
def finished(cities, tmp_path_factory):
    """A run of three stages, finished, with its recipe, folder and outcome."""
    pretext = {"name": "pretext", "steps": 2, "learning_rate": 1e-2, "cycle": ["pretext"]}
    recipe = recipe_of(pretext, WEAK, DISTILL, validation=VALIDATED)
    run = tmp_path_factory.mktemp("run")
    return recipe, run, train(recipe, run, sets_of(cities, recipe), held_out(cities), workers=1)


def test_a_run_writes_a_line_for_every_step_and_a_checkpoint_that_loads(finished):
    recipe, run, outcome = finished
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "stage" in line] == list(range(1, recipe.steps + 1))
    assert [line["stage"] for line in lines if "stage" in line] == ["pretext"] * 2 + ["weak"] * 3 + ["distill"] * 3
    assert list((run / "tensorboard").iterdir())
    network, manifest = load_checkpoint(outcome.last)
    assert manifest.training["recipe_digest"] == recipe.digest()
    for key, tensor in outcome.network.state_dict().items():
        assert torch.equal(network.state_dict()[key], tensor), key
    assert not outcome.network.training


def test_a_finished_run_is_not_trained_on(finished, cities):
    recipe, run, outcome = finished
    figures = (run / "metrics.jsonl").read_bytes()
    again = train(recipe, run, sets_of(cities, recipe), held_out(cities), workers=0)
    assert (run / "metrics.jsonl").read_bytes() == figures
    assert again.history == outcome.history
    for key, tensor in outcome.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], tensor), key


def test_the_recipe_in_the_run_folder_is_the_one_that_was_followed(finished):
    recipe, run, _ = finished
    assert load_recipe(str(run / "recipe.yaml")) == recipe


def test_validation_measures_the_loss_where_the_stage_has_one_and_errors_where_truth_is(finished):
    _, _, outcome = finished
    assert [sorted(figures) for figures in outcome.history] == [
        ["mean_deg", "mean_m", "median_deg", "median_m", "step"],
        ["loss", "mean_deg", "mean_m", "median_deg", "median_m", "step"],
        ["loss", "mean_deg", "mean_m", "median_deg", "median_m", "step"],
    ]
    assert all(math.isfinite(value) for figures in outcome.history for value in figures.values())


def test_another_process_cannot_train_in_a_folder_that_is_in_use(tmp_path):
    def enter(answers):
        try:
            with RunFolder(tmp_path, writes=True):
                answers.put("entered")
        except ConfigError as error:
            answers.put(str(error))

    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    with RunFolder(tmp_path, writes=True):
        process = fork.Process(target=enter, args=(answers,))
        process.start()
        assert "another process trains" in answers.get(timeout=20)
        process.join()


def test_no_improvement_ends_the_run_for_good(cities, tmp_path):
    still = {**WEAK, "steps": 9, "learning_rate": 1e-12}
    recipe = recipe_of(
        still, method="weak", validation={**VALIDATED, "every_steps": 1, "monitor": "mean_m", "patience": 2}
    )
    outcome = train(recipe, tmp_path, sets_of(cities, recipe), held_out(cities), workers=0)
    assert [figures["step"] for figures in outcome.history] == [1, 2, 3]
    assert "mean_m has not improved for 2 validations" in outcome.ended
    assert outcome.best.resolve().name == "step-0000001"
    assert outcome.last.resolve().name == "step-0000003"
    again = train(recipe, tmp_path, sets_of(cities, recipe), held_out(cities), workers=0)
    assert (len(again.history), again.ended) == (3, outcome.ended)


def test_a_stop_is_between_two_steps_and_what_follows_equals_an_uninterrupted_run(cities, tmp_path, monkeypatch):
    recipe = recipe_of(WEAK, method="weak")
    sets = sets_of(cities, recipe)
    whole = train(recipe, tmp_path / "whole", sets, None, workers=0).network.state_dict()
    learn = Learner.learn

    def asked_within(learner, batch):
        if batch.step == 1:
            signal.raise_signal(signal.SIGINT)
        return learn(learner, batch)

    monkeypatch.setattr(Learner, "learn", asked_within)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", sets, None, workers=0)
    assert torch.load(tmp_path / "cut" / "snapshot.pt", weights_only=True)["step"] == 2
    monkeypatch.setattr(Learner, "learn", learn)
    resumed = train(recipe, tmp_path / "cut", sets, None, workers=0).network.state_dict()
    assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())


def test_a_second_stop_interrupts_at_once():
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.made
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_network_that_is_handed_over_is_where_training_begins_and_stays_as_it_was(cities, tmp_path):
    recipe = recipe_of({**WEAK, "steps": 1, "learning_rate": 1e-12}, method="weak")
    torch.manual_seed(99)
    given = build("tiny", **recipe.network.arguments)
    before = {key: tensor.clone() for key, tensor in given.state_dict().items()}
    trained = train(recipe, tmp_path, sets_of(cities, recipe), None, workers=0, start=given).network
    for key, tensor in given.state_dict().items():
        assert torch.equal(tensor, before[key])
        torch.testing.assert_close(trained.state_dict()[key], before[key], atol=1e-6, rtol=1e-5)


def test_a_recipe_begins_from_a_checkpoint_of_the_same_network_only(finished):
    recipe, _, outcome = finished
    changed = recipe.network.model_copy(update={"start": str(outcome.last)})
    network = initial_network(recipe.model_copy(update={"network": changed}))
    key = next(iter(outcome.network.state_dict()))
    assert torch.equal(network.state_dict()[key], outcome.network.state_dict()[key])
    other = changed.model_copy(update={"arguments": {}})
    with pytest.raises(CheckpointError, match=r"same network"):
        initial_network(recipe.model_copy(update={"network": other}))


def test_the_learning_rate_rises_and_falls_by_half_a_cosine_to_the_final_share():
    stage = StageRecipe(name="s", steps=100, learning_rate=0.1, cycle=("weak",))
    recipe = recipe_of(stage.model_dump(), warm_up_steps=10)
    last = stage.final_share
    assert learning_rate(recipe, stage, 0) == pytest.approx(0.01)
    assert learning_rate(recipe, stage, 50) == pytest.approx(0.1 * (1 + last) / 2)
    assert learning_rate(recipe, stage, 99) == pytest.approx(0.1 * last, abs=1e-4)


def test_a_label_free_objective_never_sees_a_truth_and_validation_hides_it(cities, tmp_path, monkeypatch):
    seen = []
    loss = WeakObjective.loss

    def spying(objective: Objective, batch):
        seen.append(batch.truth)
        return loss(objective, batch)

    monkeypatch.setattr(WeakObjective, "loss", spying)
    recipe = recipe_of({**WEAK, "steps": 1}, method="weak", validation=VALIDATED)
    train(recipe, tmp_path, sets_of(cities, recipe), held_out(cities), workers=0)
    assert len(seen) == 3  # one step and two batches of validation
    assert all(truth is None for truth in seen)


def test_held_out_batches_are_the_same_at_every_validation_and_not_augmented(cities):
    recipe = recipe_of(WEAK, validation=VALIDATED)
    examples = held_out(cities)
    batches = HeldOutBatches(recipe, examples)
    assert len(batches) == 2
    first, again = batches[0], batches[0]
    assert torch.equal(first.ground.pixels, again.ground.pixels)
    index = [f"{examples.groups[i]}/{i % 4}" for i in range(8)].index(first.keys[0])
    pixels = examples.example(index, np.random.default_rng(0)).pixels
    assert np.array_equal((first.ground.pixels[0] * 255).round().byte().permute(1, 2, 0).numpy(), pixels)


def test_ranks_share_the_rows_of_one_global_batch(cities):
    recipe = recipe_of({**WEAK, "steps": 2}, batch=4)
    sets = sets_of(cities, recipe)
    whole = StepBatches(recipe, sets)[1]
    parts = [StepBatches(recipe, sets, rank, 2)[1] for rank in (0, 1)]
    assert [part.rows.tolist() for part in parts] == [[0, 2], [1, 3]]
    for part in parts:
        assert torch.equal(part.ground.pixels, whole.ground.pixels[part.rows])
        assert part.keys == tuple(whole.keys[row] for row in part.rows)


def test_monitors_that_need_held_out_examples_are_refused_without_them(cities, tmp_path):
    recipe = recipe_of(WEAK, validation={"monitor": "mean_m"})
    with pytest.raises(ConfigError, match="held-out"):
        train(recipe, tmp_path, sets_of(cities, recipe), None, workers=0)


def test_a_monitor_forgets_losses_but_not_metres_when_a_stage_begins():
    loss, metres = Monitor("loss", 1), Monitor("mean_m", 1)
    for monitor in (loss, metres):
        assert monitor.improved({"loss": 1.0, "mean_m": 1.0}, 10)
        monitor.begin_stage()
    assert loss.improved({"loss": 2.0}, 20)
    assert not metres.improved({"mean_m": 2.0}, 20)
    assert metres.exhausted
    assert not loss.exhausted
    assert not loss.improved({"loss": math.nan}, 30)


def test_the_mode_of_a_heat_map_is_a_place_in_metres():
    network = build("tiny")  # half-metre cells
    heatmap = torch.zeros(2, 8, 8)
    heatmap[0, 1, 6] = heatmap[1, 7, 0] = 1.0
    metres_per_pixel = torch.tensor([0.25, 0.5])  # the second tile is twice as coarse as the network's
    expected = torch.tensor([[1.25, 1.25], [-3.5, -3.5]])
    assert torch.allclose(place_of(network, heatmap, metres_per_pixel), expected)
    network.heatmap_shift_cells = (1.0, 2.0)
    assert torch.allclose(place_of(network, heatmap, metres_per_pixel)[0], expected[0] + torch.tensor([0.5, -1.0]))


def test_a_heading_between_two_hypotheses_is_found_by_a_parabola():
    offsets = torch.tensor([-6.0, -3.0, 0.0, 3.0, 6.0])
    similarity = -((offsets - 1.2) ** 2)[None]
    assert heading_of(similarity, offsets)[0] == pytest.approx(1.2, abs=1e-5)
    lost = torch.full((1, 5), -torch.inf)
    assert torch.isfinite(heading_of(lost, offsets)).all()


def test_a_rendered_city_has_the_layout_and_content_that_batches_read(tmp_path):
    data = SynthData(cities_per_style=1, pairs_per_city=2, flats_per_city=2, first_seed=9_000)
    recipe = recipe_of({"name": "p", "steps": 2, "learning_rate": 1e-3, "cycle": ["pretext", "weak"]}, data=data)
    jobs = {kind: city_jobs(data, recipe.network, tmp_path, kind)[0] for kind in ("pairs", "flats")}
    for job in jobs.values():
        render_city(job, data, recipe.network)
    sets = {"pretext": FlatWorlds([jobs["flats"].path], 13.0), "weak": CachedPairs([jobs["pairs"].path])}
    flat, pair = (StepBatches(recipe, sets)[step] for step in (0, 1))
    assert flat.ground.pixels.shape == pair.ground.pixels.shape == (2, 3, 192, 256)
    assert flat.maps.rgb.shape == pair.maps.rgb.shape == (2, 3, 256, 256)
    assert flat.truth is not None
    assert pair.truth is None
    assert "truth" not in open_city(jobs["pairs"].path, labels=False)


def test_the_shipped_recipes_are_valid_and_a_typo_in_one_is_named(tmp_path):
    assert load_recipe("tiny").steps > 0
    path = tmp_path / "typo.yaml"
    path.write_text("stages: []\nbatchsize: 3\n")
    with pytest.raises(ConfigError, match="batchsize"):
        load_recipe(str(path))


def test_a_checkpoint_of_a_trained_template_is_built_with_that_template(tmp_path):
    recipe = recipe_of(WEAK)
    network = build("tiny", **recipe.network.arguments)
    network.set_template(65)
    save_checkpoint(tmp_path, network, describe(recipe, network))
    assert load_checkpoint(tmp_path)[0].cells == 65
