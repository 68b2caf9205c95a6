# SPDX-License-Identifier: Apache-2.0
"""Train and judge every variant of a benchmark plan; whatever is done already is not done again."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from geodistill_core.models.base import AnyNetwork
from geodistill_training.benchmark.evaluate import Errors, evaluate
from geodistill_training.benchmark.plan import BenchmarkPlan
from geodistill_training.benchmark.statistics import reduction, summary
from geodistill_training.data.synth_cache import render_cache
from geodistill_training.data.synth_pairs import CachedPairs
from geodistill_training.engine.world import World
from geodistill_training.families import family_of
from geodistill_training.follow import Machine, follow
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


def run(plan: BenchmarkPlan, folder: Path, machine: Machine, world: World) -> dict[str, Any]:
    """All variants of all seeds; the table as a dictionary.

    Raises:
        GeodistillError: see `follow`.
    """
    console = Console(stderr=True)
    for seed, name in plan.runs():
        done = folder / f"seed{seed}" / name
        if (done / "errors.npz").is_file():
            continue
        after = plan.variants[name].after
        start = None if after is None else str(folder / f"seed{seed}" / after / "model")
        recipe = plan.recipe(name, seed)
        recipe = recipe.model_copy(update={"network": recipe.network.model_copy(update={"start": start})})
        console.print(f"seed {seed}: {plan.variants[name].title}")
        began = time.process_time()
        outcome = follow(recipe, done / "run", machine, world)
        spent = time.process_time() - began
        shutil.copytree(outcome.last, done / "model", dirs_exist_ok=True)
        _store(done / "errors.npz", judge(plan, outcome.network, recipe, machine), spent)
    return table(plan, folder)


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
    out: dict[str, Any] = {"plan": plan.model_dump(mode="json"), "variants": {}, "comparisons": []}
    for name, found in runs.items():
        out["variants"][name] = {
            "title": plan.variants[name].title,
            "seeds": len(seconds[name]),
            "cpu_seconds": float(np.mean(seconds[name])),
            "results": {key: summary(values) for key, values in found.items()},
        }
    for pair in plan.comparisons:
        if pair.method in runs and pair.control in runs:
            n = min(len(seconds[pair.method]), len(seconds[pair.control]))
            gains = {
                key: asdict(reduction(runs[pair.method][key][:n], runs[pair.control][key][:n]))
                for key in runs[pair.control]
            }
            out["comparisons"].append({**pair.model_dump(), "seeds": n, "reduction_of_mean": gains})
    return out


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
