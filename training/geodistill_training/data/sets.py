# SPDX-License-Identifier: Apache-2.0
"""The sets of examples that a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from geodistill_core.datasets.check.leak import refuse_leak
from geodistill_core.datasets.synthcity import VALIDATION_STYLES
from geodistill_core.datasets.synthcity.levels import SEEDS
from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_training.data.examples import ExampleSet
from geodistill_training.data.kitti_pairs import KittiPairs
from geodistill_training.data.synth_cache import render_cache
from geodistill_training.data.synth_pairs import CachedPairs, FlatWorlds, StreamedPairs
from geodistill_training.data.vigor_pairs import VigorPairs
from geodistill_training.objectives.make import OBJECTIVES
from geodistill_training.recipe.data import DataRecipe, KittiData, SynthData, VigorData
from geodistill_training.recipe.recipe import Objective, Recipe

_VIEWS = 4
# the first half of the validation seeds is for calibration
_FIRST_SEED = (SEEDS["validation"].start + SEEDS["validation"].stop) // 2


def open_sets(recipe: Recipe, network: AnyNetwork, cache: Path, workers: int) -> dict[Objective, ExampleSet]:
    """Examples of every objective in the recipe's stages, as `network` reads them.

    SynthCity is rendered into `cache` by `workers` processes unless the recipe streams it. Labels are opened for
    objectives that are trained with them, and for no other.

    Raises:
        ConfigError: the data are opened otherwise.
        DatasetError: a data set is missing or malformed.
    """
    sets: dict[Objective, ExampleSet] = {}
    opened: dict[bool, ExampleSet] = {}
    for name in sorted({name for stage in recipe.stages for name in stage.cycle}):
        if name == "pretext":
            sets[name] = _flat_worlds(recipe, cache, workers)
            continue
        labels = OBJECTIVES[name].labelled
        if labels not in opened:
            opened[labels] = open_examples(recipe.data, recipe, network, cache, workers, labels)
        sets[name] = opened[labels]
    return sets


def open_validation(recipe: Recipe, network: AnyNetwork, cache: Path, workers: int) -> ExampleSet | None:
    """Held-out examples with their truth, which nothing is trained on; None where the data have no such part."""
    data = recipe.validation.data or held_out_part(recipe.data, recipe.validation.examples)
    return None if data is None else open_examples(data, recipe, network, cache, workers, labels=True)


def refuse_shared(learned: Iterable[ExampleSet], judged: ExampleSet | None) -> None:
    """Refuse to judge a network on images that it learns from; images near those are common in the published lists.

    Raises:
        DatasetError: an image is in both; the message counts and names.
    """
    for examples in set(learned):
        for kind in (VigorPairs, KittiPairs):
            if isinstance(examples, kind) and isinstance(judged, kind):
                refuse_leak(examples.ground_places, judged.ground_places, least_m=None)


def held_out_part(data: DataRecipe, examples: int) -> DataRecipe | None:
    """What a recipe is validated on unless it says otherwise; None where the data have no part for that.

    SynthCity has a style of its own, of whose cities a few views each are taken; VIGOR a part of every list; the papers
    on KITTI validate on test1.
    """
    if isinstance(data, SynthData):
        seen = {"styles": VALIDATION_STYLES, "first_seed": _FIRST_SEED, "pairs_per_city": _VIEWS}
        return data.model_copy(update={**seen, "cities_per_style": -(-examples // _VIEWS)})
    if isinstance(data, VigorData) and data.part == "train":
        turns = data.turns_file if data.division == "adaptation" else None
        return data.model_copy(update={"part": "validation", "turns_file": turns})
    if isinstance(data, KittiData) and data.part == "train":
        return data.model_copy(update={"part": "test1"})
    return None


def open_examples(
    data: DataRecipe, recipe: Recipe, network: AnyNetwork, cache: Path, workers: int, labels: bool
) -> ExampleSet:
    """One data set, with or without its truth.

    Raises:
        ConfigError: a recorded drive, which is opened with its map.
    """
    if isinstance(data, VigorData):
        return VigorPairs(data, network, labels)
    if isinstance(data, KittiData):
        return KittiPairs(data, network, labels)
    if not isinstance(data, SynthData):
        raise ConfigError("a recorded drive is adapted to: geodistill train adapt --bag DRIVE --map SOURCE")
    if data.rendered:
        return CachedPairs(render_cache(data, recipe.network, cache, "pairs", workers), labels)
    return StreamedPairs(data, network, labels)


def _flat_worlds(recipe: Recipe, cache: Path, workers: int) -> FlatWorlds:
    assert isinstance(recipe.data, SynthData)
    folders = render_cache(recipe.data, recipe.network, cache, "flats", workers)
    return FlatWorlds(folders, recipe.data.position_range_m)
