# SPDX-License-Identifier: Apache-2.0
"""From a recipe to a calibrated checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from geodistill_core.datasets.synthcity import TRAIN_STYLES, WORLD_VERSION
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint, save_checkpoint
from geodistill_core.models.manifest import Manifest
from geodistill_training.cache import render_cache
from geodistill_training.calibrate import collect, fit_temperature
from geodistill_training.recipe import Recipe
from geodistill_training.trainer import train


def describe(recipe: Recipe, network: AnyNetwork) -> dict[str, Any]:
    """The manifest of a trained network, before its calibration, hash and probe."""
    data = recipe.data
    return {
        "name": recipe.name,
        "architecture": recipe.architecture,
        "inputs": {
            "map": "north-up RGB 0..1, sides divisible by 16 pixels",
            "ground": "gravity-aligned strip, 192 x 256, from a panorama or pinhole image",
            "template_extent_m": network.template_extent_m,
        },
        "metres_per_pixel": network.metres_per_pixel,
        "preprocessing": "rgb - 0.5, times 4, zero where not visible or not valid",
        "training": {
            "data": f"SynthCity {WORLD_VERSION}, styles {', '.join(TRAIN_STYLES)}, seeds {data.first_seed}.."
            f"{data.first_seed + data.cities_per_style - 1}, no position labels",
            "recipe": recipe.model_dump(mode="json"),
            "recipe_digest": recipe.digest(),
        },
        "calibration": None,
        "licence": "Apache-2.0",
    }


def ship(
    recipe: Recipe, network: AnyNetwork, output: Path, calibration_pairs: int, level: str = "standard"
) -> Manifest:
    """Write the checkpoint, calibrate what was written, and write it again with its temperature."""
    description = describe(recipe, network)
    save_checkpoint(output, network, description)
    rounded, manifest = load_checkpoint(output)
    calibration = fit_temperature(
        collect(rounded, manifest, calibration_pairs, level),
        f"SynthCity {WORLD_VERSION} validation style, level {level}",
    )
    return save_checkpoint(output, rounded, {**description, "calibration": calibration})


def train_and_ship(
    recipe: Recipe, output: Path, run: Path, cache: Path, threads: int, calibration_pairs: int
) -> Manifest:
    """Render, train, calibrate, write; every part resumes where it stopped."""
    torch.set_num_threads(threads)
    flats = render_cache(recipe.data, cache, "flats", workers=threads)
    pairs = render_cache(recipe.data, cache, "pairs", workers=threads)
    network = train(recipe, flats, pairs, run)
    return ship(recipe, network, output, calibration_pairs)
