# SPDX-License-Identifier: Apache-2.0
"""The smallest run of every kind: cities of noise, laid out as the rendered cache, and a network of a few weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from geodistill_training.data.synth_pairs import CachedPairs, FlatWorlds
from geodistill_training.recipe import Recipe

PAIRS, FLATS = 4, 2
NETWORK = {"architecture": "tiny", "arguments": {"channels": 4, "widths": [8, 8, 8, 8], "cells": 33}}
WEAK = {"name": "weak", "steps": 3, "learning_rate": 1e-2, "cycle": ["weak"]}
DISTILL = {"name": "distill", "steps": 3, "learning_rate": 1e-2, "cycle": ["distill"]}


def write_cities(root: Path, cities: int = 2) -> Path:
    """Folders `root/pairs/*` and `root/flats/*`."""
    rng = np.random.default_rng(0)
    for city in range(cities):
        pairs, flats = root / "pairs" / f"noise-{city}", root / "flats" / f"noise-{city}"
        for folder in (pairs, flats):
            folder.mkdir(parents=True)
        noise = {"tile": (64, 64, 3), "pixels": (192, 256, 3)}
        for key, shape in noise.items():
            np.save(pairs / f"{key}.npy", rng.integers(0, 255, (PAIRS, *shape), np.uint8))
        np.save(pairs / "valid.npy", np.full((PAIRS, 64, 64), 255, np.uint8))
        np.save(pairs / "visible.npy", np.full((PAIRS, 192, 256), 255, np.uint8))
        np.save(pairs / "metres_per_pixel.npy", np.full(PAIRS, 0.25, np.float32))
        np.save(pairs / "mount.npy", np.full((PAIRS, 3), [0, 0, 2], np.float32))
        np.save(pairs / "yaw_enu_rad.npy", rng.uniform(-3, 3, PAIRS).astype(np.float32))
        np.save(pairs / "place_m.npy", rng.uniform(0, 900, (PAIRS, 2)).astype(np.float32))
        np.save(pairs / "truth.npy", rng.uniform(-3, 3, (PAIRS, 3)).astype(np.float32))
        np.save(flats / "tile.npy", rng.integers(0, 255, (FLATS, 64, 64, 3), np.uint8))
        np.save(flats / "source.npy", rng.integers(0, 255, (FLATS, 512, 512, 3), np.uint8))
    return root


def sets_of(root: Path, recipe: Recipe):
    """The sets of a recipe over noise."""
    folders = {kind: sorted((root / kind).iterdir()) for kind in ("pairs", "flats")}
    pairs, flats = CachedPairs(folders["pairs"]), FlatWorlds(folders["flats"], 6.0)
    used = {name for stage in recipe.stages for name in stage.cycle}
    return {name: flats if name == "pretext" else pairs for name in sorted(used)}


def held_out(root: Path) -> CachedPairs:
    """The same cities with their truth."""
    return CachedPairs(sorted((root / "pairs").iterdir()), labels=True)


def recipe_of(*stages, **changes) -> Recipe:
    """A recipe of stages given as dictionaries."""
    common = {
        "name": "noise",
        "method": "distill",
        "batch": 2,
        "spacing_m": 0,
        "warm_up_steps": 1,
        "network": NETWORK,
        "distill": {"teacher_period": 1, "temperature": 0.05, "student_temperature": 0.05},
        "weak": {"turned_negatives": 1},
    }
    return Recipe.model_validate({**common, "stages": list(stages), **changes})
