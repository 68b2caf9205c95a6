# SPDX-License-Identifier: Apache-2.0
"""Train and judge every variant of a benchmark plan; whatever is done already is not done again."""

from __future__ import annotations

import math
import multiprocessing
import shutil
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from geodistill_core.models.base import AnyNetwork
from geodistill_training.benchmark.evaluate import Errors, evaluate
from geodistill_training.benchmark.plan import BenchmarkPlan
from geodistill_training.benchmark.statistics import reduction, summary
from geodistill_training.data.synth_cache import Kind, render_cache
from geodistill_training.data.synth_pairs import CachedPairs
from geodistill_training.engine.world import open_world
from geodistill_training.families import family_of
from geodistill_training.follow import Machine, follow
from geodistill_training.recipe.data import SynthData
from geodistill_training.recipe.network import NetworkRecipe
from geodistill_training.recipe.recipe import Recipe


def judge(plan: BenchmarkPlan, network: AnyNetwork, recipe: Recipe, machine: Machine) -> dict[str, Errors]:
    """Errors by "set/view"."""
    family = family_of(network)
    found: dict[str, Errors] = {}
    for name, judged in plan.judged_on.items():
        folders = render_cache(judged.data, recipe.network, machine.cache, "pairs", max(1, machine.workers))
        errors = evaluate(family, CachedPairs(folders, labels=True), judged.as_views())
        found |= {f"{name}/{view}": value for view, value in errors.items()}
    return found


def train_variant(plan: BenchmarkPlan, seed: int, name: str, folder: Path, machine: Machine) -> None:
    """Train and judge one model of the table, unless that was done before.

    Raises:
        GeodistillError: see `follow`.
    """
    done = folder / f"seed{seed}" / name
    if (done / "errors.npz").is_file():
        return
    torch.set_num_threads(machine.threads)
    after = plan.variants[name].after
    start = None if after is None else str(folder / f"seed{seed}" / after / "model")
    recipe = plan.recipe(name, seed)
    recipe = recipe.model_copy(update={"network": recipe.network.model_copy(update={"start": start})})
    began, continued = time.process_time(), (done / "run").exists()
    outcome = follow(recipe, done / "run", machine, open_world())
    spent = math.nan if continued else time.process_time() - began
    shutil.copytree(outcome.last, done / "model", dirs_exist_ok=True)
    _store(done / "errors.npz", judge(plan, outcome.network, recipe, machine), spent)


def run(plan: BenchmarkPlan, folder: Path, machine: Machine, jobs: int = 1) -> dict[str, Any]:
    """All variants of all seeds, `jobs` at a time, each after the one that it starts from; the table as a dictionary.

    Raises:
        GeodistillError: see `follow`; what runs beside it is finished first.
    """
    console, waiting = Console(stderr=True), list(plan.runs())
    _render(plan, machine, jobs)
    under_way: dict[Future[None], tuple[int, str]] = {}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        while waiting or under_way:
            unfinished = {*waiting, *under_way.values()}
            ready = [r for r in waiting if (r[0], plan.variants[r[1]].after) not in unfinished]
            for seed, name in ready[: jobs - len(under_way)]:
                console.print(f"seed {seed}: {plan.variants[name].title}")
                under_way[pool.submit(train_variant, plan, seed, name, folder, machine)] = (seed, name)
                waiting.remove((seed, name))
            for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                done.result()
                del under_way[done]
    return table(plan, folder)


def _render(plan: BenchmarkPlan, machine: Machine, jobs: int) -> None:
    """Every city of the plan, before processes that share the cache would draw the same ones."""
    recipes = [plan.recipe(name, seed) for seed, name in plan.runs()]
    wanted: list[tuple[SynthData, NetworkRecipe, Kind]] = []
    for recipe in recipes:
        assert isinstance(recipe.data, SynthData)
        wanted.append((recipe.data, recipe.network, "pairs"))
        if any("pretext" in stage.cycle for stage in recipe.stages):
            wanted.append((recipe.data, recipe.network, "flats"))
    wanted += [(judged.data, recipes[0].network, "pairs") for judged in plan.judged_on.values()]
    for data, network, kind in wanted:
        render_cache(data, network, machine.cache, kind, max(jobs, machine.workers))


def table(plan: BenchmarkPlan, folder: Path) -> dict[str, Any]:
    """Summaries and reductions of what has been run."""
    runs: dict[str, dict[str, list[Errors]]] = {}
    seconds: dict[str, list[float]] = {}
    for seed, name in plan.runs():
        stored = folder / f"seed{seed}" / name / "errors.npz"
        if not stored.is_file():
            continue
        errors, spent = _restore(stored)
        seconds.setdefault(name, []).append(spent)
        for key, value in errors.items():
            runs.setdefault(name, {}).setdefault(key, []).append(value)
    in_order = [f"{name}/{view}" for name, judged in plan.judged_on.items() for view in judged.views]
    out: dict[str, Any] = {"plan": plan.model_dump(mode="json"), "variants": {}, "comparisons": []}
    for name, found in runs.items():
        out["variants"][name] = {
            "title": plan.variants[name].title,
            "seeds": len(seconds[name]),
            "steps": sum(stage.steps for stage in plan.recipe(name, plan.seeds[0]).stages),
            "cpu_seconds": _mean_of_known(seconds[name]),
            "results": {key: summary(found[key]) for key in in_order},
        }
    for pair in plan.comparisons:
        if pair.method in runs and pair.control in runs:
            n = min(len(seconds[pair.method]), len(seconds[pair.control]))
            gains = {
                key: asdict(reduction(runs[pair.method][key][:n], runs[pair.control][key][:n])) for key in in_order
            }
            out["comparisons"].append({**pair.model_dump(), "seeds": n, "reduction_of_mean": gains})
    return out


def _mean_of_known(seconds: list[float]) -> float | None:
    """Runs that were interrupted do not know what they took."""
    known = [s for s in seconds if not math.isnan(s)]
    return float(np.mean(known)) if known else None


def _store(path: Path, errors: dict[str, Errors], seconds: float) -> None:
    arrays: dict[str, Any] = {"seconds": np.array(seconds)}
    for key, value in errors.items():
        arrays[f"{key}|position_m"] = value.position_m
        arrays[f"{key}|yaw_deg"] = value.yaw_deg
        arrays[f"{key}|cities"] = np.array(value.cities)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)


def _restore(path: Path) -> tuple[dict[str, Errors], float]:
    with np.load(path) as stored:
        keys = sorted({name.rsplit("|", 1)[0] for name in stored.files if "|" in name})
        errors = {
            key: Errors(
                stored[f"{key}|position_m"], stored[f"{key}|yaw_deg"], tuple(str(c) for c in stored[f"{key}|cities"])
            )
            for key in keys
        }
        return errors, float(stored["seconds"])
