# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint says of the network in it and of the recipe that trained it."""

from __future__ import annotations

from typing import Any

from geodistill_core.datasets.synthcity import WORLD_VERSION
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.importing.published import backbone_arguments
from geodistill_core.models.registry import architecture
from geodistill_core.models.tiny import Tiny
from geodistill_training.recipe.bag import BagData
from geodistill_training.recipe.data import DataRecipe, KittiData, SynthData, VigorData
from geodistill_training.recipe.recipe import Recipe


def describe(recipe: Recipe, network: AnyNetwork) -> dict[str, Any]:
    """The manifest of a trained network, before its calibration, hash and probe."""
    size = network.map_size_px
    tiny = isinstance(network, Tiny)
    sides = "sides divisible by 16 pixels" if size is None else f"{size} x {size} pixels"
    return {
        "name": recipe.name,
        "architecture": recipe.network.architecture,
        "arguments": arguments(recipe, network),
        "inputs": {
            "map": f"north-up RGB 0..1, {sides}",
            "ground": "gravity-aligned strip, 192 x 256, from a panorama or pinhole image"
            if tiny
            else "panorama or pinhole image, resized by the network",
            "map_size_px": size,
            "template_extent_m": network.template_extent_m,
        },
        "metres_per_pixel": network.metres_per_pixel,
        "preprocessing": "rgb - 0.5, times 4, zero where not visible or not valid"
        if tiny
        else "inside the network, as published",
        "training": {
            "data": described_data(recipe.data) + ("" if recipe.method == "supervised" else ", no position labels"),
            "recipe": recipe.model_dump(mode="json"),
            "recipe_digest": recipe.digest(),
        },
        "calibration": None,
        "licence": "Apache-2.0",
    }


def arguments(recipe: Recipe, network: AnyNetwork) -> dict[str, Any]:
    """What builds the network again: the recipe's arguments, and what training or the machine chose beside them."""
    made = recipe.network
    found = {**made.arguments, **backbone_arguments(network)}
    if architecture(made.architecture).has_geometry:
        found["geometry"] = made.geometry
    if isinstance(network, Tiny):
        found["cells"] = network.cells
    return found


def described_data(data: DataRecipe) -> str:
    """One line about the training data."""
    if isinstance(data, SynthData):
        last = data.first_seed + data.cities_per_style - 1
        return f"SynthCity {WORLD_VERSION}, styles {', '.join(data.styles)}, seeds {data.first_seed}..{last}"
    if isinstance(data, VigorData):
        cities = ", ".join(data.cities or ("all cities",))
        return f"VIGOR {data.area}-area, {data.part} part, {cities}"
    if isinstance(data, BagData):
        return "a recorded drive"
    assert isinstance(data, KittiData)
    return f"KITTI cross-view, {data.part} part"
