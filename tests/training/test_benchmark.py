# SPDX-License-Identifier: Apache-2.0
"""The benchmark: what its plan trains, how errors are measured, and when a reduction may be claimed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from geodistill_training.benchmark.evaluate import Errors, View, evaluate
from geodistill_training.benchmark.markdown import as_markdown
from geodistill_training.benchmark.plan import BenchmarkPlan, load_plan
from geodistill_training.benchmark.run import run
from geodistill_training.benchmark.statistics import reduction, summary
from geodistill_training.data.synth_cache import city_jobs, render_city
from geodistill_training.data.synth_pairs import CachedPairs
from geodistill_training.families import family_of
from geodistill_training.follow import Machine
from geodistill_training.recipe.data import SynthData
from geodistill_training.recipe.network import NetworkRecipe

from geodistill_core.errors import ConfigError
from geodistill_core.models.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "training/geodistill_training/benchmark/results.json"
CITIES = tuple(f"city-{i // 10}" for i in range(200))


def errors(position_m):
    return Errors(np.asarray(position_m, float), np.zeros(200), CITIES)


def test_every_variant_of_the_shipped_plan_is_a_valid_recipe_that_starts_after_one_before_it():
    plan = load_plan()
    seen = set()
    for seed, name in plan.runs():
        recipe = plan.recipe(name, seed)
        assert (recipe.name, recipe.seed) == (name, seed)
        after = plan.variants[name].after
        assert after is None or (seed, after) in seen
        seen.add((seed, name))
    assert plan.recipe("adapted", 1).data.styles == plan.judged_on["unseen"].data.styles
    assert plan.recipe("adapted", 1).data.first_seed != plan.judged_on["unseen"].data.first_seed


def test_nothing_of_the_plan_uses_the_seeds_that_belong_to_nobody():
    plan = load_plan()
    data = [plan.recipe(name, seed).data for seed, name in plan.runs()] + [j.data for j in plan.judged_on.values()]
    assert max(d.first_seed + d.cities_per_style for d in data) < 900_000


def test_a_plan_that_names_nothing_known_is_refused(tmp_path):
    (tmp_path / "plan.yaml").write_text(
        "seeds: [1]\nbase: {}\nvariants: {}\njudged_on: {}\ncomparisons: [{method: magic, control: base}]\n"
    )
    with pytest.raises(ConfigError, match="'magic', which is no variant"):
        load_plan(tmp_path / "plan.yaml")


def test_a_plan_that_is_not_there_is_one_line_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "geodistill_training.benchmark", "--plan", str(tmp_path / "none.yaml")]
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "training"))
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("benchmark: ")
    assert "none.yaml" in line


def test_half_the_error_everywhere_is_a_reduction_by_half_without_doubt():
    rng = np.random.default_rng(3)
    control = rng.uniform(1, 5, 200)
    found = reduction([errors(control / 2)], [errors(control)])
    assert (found.share, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_gain_in_one_city_alone_has_an_interval_that_holds_zero():
    control = np.ones(200)
    method = control.copy()
    method[:10] = 0.0
    found = reduction([errors(method)], [errors(control)])
    assert found.share == pytest.approx(0.05)
    assert found.low == 0.0
    assert found.high > 0.1


def test_the_bootstrap_draws_cities_and_not_pairs():
    """With all of a city's errors alike, the interval is that of twenty cities: 1.96 * 1 / sqrt(20) = 0.44 wide."""
    rng = np.random.default_rng(5)
    shift = np.repeat(rng.normal(0, 1, 20), 10)
    found = reduction([errors(10 + shift)], [errors(np.full(200, 10.0))])
    expected = 2 * 1.96 * shift.std() / np.sqrt(20) / 10
    assert found.high - found.low == pytest.approx(expected, rel=0.1)


def test_a_summary_averages_seeds_and_tells_how_far_they_are_apart():
    found = summary([errors(np.full(200, 1.0)), errors(np.full(200, 3.0))])
    assert found["mean_m"] == found["median_m"] == 2.0
    assert found["seed_spread_m"] == pytest.approx(np.sqrt(2.0))
    assert found["within_3m"] == 0.5


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    data = SynthData(styles=("terraces",), first_seed=10_950, cities_per_style=1, pairs_per_city=8)
    (job,) = city_jobs(data, NetworkRecipe(), tmp_path_factory.mktemp("cache"), "pairs")
    job.path.parent.mkdir(parents=True)
    render_city(job, data, NetworkRecipe())
    return CachedPairs([job.path], labels=True)


def test_the_shipped_network_is_found_to_be_good_and_worse_with_a_quarter_of_the_view(streets):
    torch.set_num_threads(1)
    network, _ = load_checkpoint("tiny")
    found = evaluate(family_of(network), streets, [View("360"), View("90", 90), View("turned", 360, 45.0)])
    assert np.median(found["360"].position_m) < 0.6
    assert found["90"].position_m.mean() > found["360"].position_m.mean()
    assert np.median(found["turned"].yaw_deg) < 5


def test_the_views_search_around_the_prior_and_as_far_as_it_may_be_wrong():
    assert np.degrees(View("given").hypotheses().numpy()) == pytest.approx([-6, -3, 0, 3, 6])
    assert np.degrees(View("turned", 360, 45.0).hypotheses().numpy()[[0, -1]]) == pytest.approx([-45, 45])


def tiny_plan():
    small = {"styles": ["suburb"], "cities_per_style": 2, "pairs_per_city": 4, "flats_per_city": 2}
    stage = {"steps": 1, "learning_rate": 1e-4, "template_cells": 33}
    return BenchmarkPlan.model_validate(
        {
            "seeds": [1],
            "base": {
                "name": "base", "method": "weak", "batch": 2, "spacing_m": 0,
                "network": {"architecture": "tiny", "arguments": {"channels": 4, "widths": [8, 8, 8, 8]}},
                "data": {"dataset": "synthcity", **small}, "validation": {"examples": 4},
            },
            "variants": {
                "base": {"title": "base", "recipe": {"stages": [{**stage, "name": "weak", "cycle": ["weak"]}]}},
                "adapted": {
                    "title": "adapted", "after": "base",
                    "recipe": {
                        "method": "adapt", "adapt": {"filter": True},
                        "stages": [{**stage, "name": "adapt", "cycle": ["pseudo"]}],
                    },
                },
            },
            "judged_on": {"seen": {"data": small, "views": {"360": [360, 0]}}},
            "comparisons": [{"method": "adapted", "control": "base"}],
        }
    )  # fmt: skip


def test_a_whole_plan_runs_and_what_is_done_is_not_done_again(tmp_path):
    plan, machine = tiny_plan(), Machine(tmp_path / "cache", workers=0, threads=1)
    found = run(plan, tmp_path / "runs", machine, jobs=2)
    assert {name: v["seeds"] for name, v in found["variants"].items()} == {"base": 1, "adapted": 1}
    assert found["comparisons"][0]["reduction_of_mean"]["seen/360"]["share"] == pytest.approx(
        1
        - found["variants"]["adapted"]["results"]["seen/360"]["mean_m"]
        / found["variants"]["base"]["results"]["seen/360"]["mean_m"]
    )
    assert "| adapted / base |" in as_markdown(found)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("errors.npz")}
    assert run(plan, tmp_path / "runs", machine, jobs=2) == found
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("errors.npz")} == written


def test_the_results_that_are_told_are_those_of_the_shipped_plan():
    results = json.loads(RESULTS.read_text())
    assert results["plan"] == load_plan().model_dump(mode="json")
    assert {name: found["seeds"] for name, found in results["variants"].items()} == {
        name: len(variant.seeds or load_plan().seeds) for name, variant in load_plan().variants.items()
    }
    table = as_markdown(results).strip()
    assert table in (ROOT / "training/README.md").read_text(), "paste table.md into training/README.md"
