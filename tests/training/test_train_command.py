# SPDX-License-Identifier: Apache-2.0
"""`geodistill train VERB`: recipes, exit codes and what lies where afterwards."""

import json
import signal

import pytest
import torch
import yaml
from geodistill_training import follow
from geodistill_training.data import sets
from geodistill_training.data.sets import held_out_part, open_sets
from geodistill_training.data.synth_pairs import CachedPairs
from geodistill_training.describe import describe
from geodistill_training.engine.learner import Learner
from geodistill_training.recipe import Recipe
from geodistill_training.recipe.data import SynthData, VigorData
from geodistill_training.ship import ship
from noise_cities import DISTILL, WEAK, held_out, recipe_of, sets_of, write_cities

from geodistill_core.cli.main import VERBS, main
from geodistill_core.datasets.synthcity import TRAIN_STYLES
from geodistill_core.errors import ConfigError
from geodistill_core.models.checkpoint import load_checkpoint, save_checkpoint
from geodistill_core.models.registry import build


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    return write_cities(tmp_path_factory.mktemp("cities"))


@pytest.fixture
def train(cities, tmp_path, monkeypatch):
    """`geodistill train` over noise; returns its exit code, leaves the run in `run` and the product in `out`."""
    monkeypatch.setitem(VERBS, "train", ("geodistill_training.cli:app", "As installed."))
    monkeypatch.setattr(follow, "open_sets", lambda recipe, *_: sets_of(cities, recipe))
    monkeypatch.setattr(follow, "open_validation", lambda *_: held_out(cities))
    monkeypatch.setattr(follow, "open_examples", lambda *_, **__: CachedPairs(sorted((cities / "pairs").iterdir())))

    def run(verb, recipe, *options):
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(recipe.model_dump(mode="json")))
        places = ["--config", str(path), "--run", str(tmp_path / "run"), "-o", str(tmp_path / "out")]
        small = ["--workers", "0", "--threads", "1", "--calibration-pairs", "0"]
        with pytest.raises(SystemExit) as ended:
            main(["train", verb, *places, *small, *options])
        return ended.value.code

    return run


def test_dry_run_prints_the_effective_recipe_and_makes_nothing(train, tmp_path, capsys):
    recipe = recipe_of(WEAK, method="weak")
    assert train("weak", recipe, "--dry-run", "--seed", "7") == 0
    printed = Recipe.model_validate(yaml.safe_load(capsys.readouterr().out))
    assert printed == recipe.model_copy(update={"seed": 7})
    assert not (tmp_path / "run").exists()


def test_a_recipe_for_another_verb_is_refused(train, tmp_path, capsys):
    assert train("distill", recipe_of(WEAK, method="weak")) == 2
    assert "use: geodistill train weak" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_best_checkpoint_is_shipped_if_asked_for(train, tmp_path, capsys):
    validation = {"every_steps": 1, "examples": 4, "monitor": "mean_m"}
    recipe = recipe_of({**DISTILL, "steps": 2}, validation=validation)
    assert train("distill", recipe, "--best", "--json", "-") == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert summary["from"] == str(tmp_path / "run" / "best")
    assert captured.err == ""  # no progress where nobody sees it
    shipped, chosen = (load_checkpoint(folder)[0].state_dict() for folder in (tmp_path / "out", tmp_path / "run/best"))
    assert all(torch.equal(tensor, chosen[key].half().float()) for key, tensor in shipped.items())


def test_an_interrupt_saves_the_run_and_exits_with_130(train, tmp_path, monkeypatch):
    learn = Learner.learn

    def interrupted(learner, batch):
        signal.raise_signal(signal.SIGINT)
        return learn(learner, batch)

    monkeypatch.setattr(Learner, "learn", interrupted)
    recipe = recipe_of(WEAK, method="weak")
    assert train("weak", recipe) == 130
    assert torch.load(tmp_path / "run" / "snapshot.pt", weights_only=True)["step"] == 1
    assert not (tmp_path / "out").exists()
    assert train("weak", recipe) == 130
    assert torch.load(tmp_path / "run" / "snapshot.pt", weights_only=True)["step"] == 2


def test_adaptation_follows_a_recipe_from_a_trained_teacher(train, tmp_path, capsys):
    stage = {"name": "adapt", "steps": 1, "learning_rate": 1e-3, "cycle": ["pseudo"]}
    recipe = recipe_of(stage, method="adapt", validation={"every_steps": 9, "examples": 2})
    assert train("adapt", recipe) == 2
    assert "network.start" in capsys.readouterr().err
    teacher = build("tiny", **recipe.network.arguments)
    save_checkpoint(tmp_path / "teacher", teacher, describe(recipe, teacher))
    begun = recipe.network.model_copy(update={"start": str(tmp_path / "teacher")})
    assert train("adapt", recipe.model_copy(update={"network": begun})) == 0
    assert load_checkpoint(tmp_path / "out")[1].architecture == "tiny"


def test_labels_are_opened_for_objectives_that_are_trained_with_them_only(monkeypatch, cities):
    opened = []

    def spying(data, recipe, network, cache, workers, labels):
        opened.append(labels)
        return held_out(cities) if labels else CachedPairs(sorted((cities / "pairs").iterdir()))

    monkeypatch.setattr(sets, "open_examples", spying)
    stage = {"name": "all", "steps": 3, "learning_rate": 1e-3, "cycle": ["weak", "distill", "supervised"]}
    found = open_sets(recipe_of(stage), build("tiny"), cities, 1)
    assert sorted(opened) == [False, True]
    assert found["weak"] is found["distill"]
    assert {name: examples.labels for name, examples in found.items()} == {
        "weak": False,
        "distill": False,
        "supervised": True,
    }


def test_validation_is_in_cities_that_neither_training_nor_calibration_sees():
    data = held_out_part(SynthData(), 64)
    assert not set(data.styles) & set(TRAIN_STYLES)
    assert data.first_seed == 15_000
    assert data.cities_per_style * data.pairs_per_city >= 64


def test_a_part_that_is_judged_on_is_not_validated_on(tmp_path):
    train_part = VigorData(root=tmp_path)
    assert held_out_part(train_part, 8).part == "validation"
    assert held_out_part(VigorData(root=tmp_path, part="test"), 8) is None


def test_synthetic_pairs_do_not_calibrate_a_network_for_real_data(tmp_path):
    recipe = recipe_of(WEAK, data={"dataset": "vigor", "root": str(tmp_path)})
    network = build("tiny", **recipe.network.arguments)
    with pytest.raises(ConfigError, match="cannot calibrate a network for vigor"):
        ship(recipe, network, tmp_path / "out", 20)
    assert ship(recipe, network, tmp_path / "out", 0).calibration is None
