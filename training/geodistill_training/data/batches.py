# SPDX-License-Identifier: Apache-2.0
"""Item `step` is the whole batch of that step, a pure function of (recipe, step): resuming needs only the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch.utils.data import Dataset

from geodistill_core.errors import DatasetError
from geodistill_training.data.examples import Batch, Example, ExampleSet, collate
from geodistill_training.data.photometry import photometric
from geodistill_training.data.plan import BatchPlan
from geodistill_training.recipe.recipe import Objective, Recipe

_REPLACEMENT_STREAM = 2_000_003
_REPLACEMENTS = 8


def row_rng(seed: int, step: int, row: int) -> np.random.Generator:
    """Everything random about one row of one step's global batch."""
    return np.random.default_rng([seed, step, row])


def plan_of(examples: ExampleSet, batch: int, recipe: Recipe) -> BatchPlan:
    """The batches of a set of examples."""
    return BatchPlan(examples.groups, examples.looks, examples.places_m, batch, recipe.spacing_m, recipe.seed)


def fetch(
    examples: ExampleSet, plan: BatchPlan, chosen: tuple[int, ...], row: int, seeds: tuple[int, int]
) -> tuple[Example, np.random.Generator, list[str]]:
    """Example `chosen[row]`, or another that fits the batch if it is broken, with the rest of the row's randomness.

    `seeds` are the recipe's and the step; the list names what was broken.

    Raises:
        DatasetError: one replacement after the other is broken too.
    """
    broken: list[str] = []
    index = chosen[row]
    for attempt in range(_REPLACEMENTS):
        rng = row_rng(*seeds, row)
        try:
            return examples.example(index, rng), rng, broken
        except DatasetError as error:
            broken.append(f"example {index}: {error}")
        index = plan.replacement(chosen, row_rng(*seeds, _REPLACEMENT_STREAM + _REPLACEMENTS * row + attempt))
    raise DatasetError(f"{len(broken)} examples in a row cannot be read: {'; '.join(broken)}")


class StepBatches(Dataset[Batch]):
    """The batches of a recipe over the sets of its objectives; rank `rank` of `ranks` holds every `ranks`-th row."""

    def __init__(self, recipe: Recipe, sets: Mapping[Objective, ExampleSet], rank: int = 0, ranks: int = 1) -> None:
        self.recipe, self.sets = recipe, sets
        self.rows = range(rank, recipe.batch, ranks)
        self.plans = {name: plan_of(examples, recipe.batch, recipe) for name, examples in sets.items()}

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, step: int) -> Batch:
        objective = self.recipe.objective_at(step)
        plan = self.plans[objective]
        chosen = plan.indices(self._turn(step, objective))
        plain, broken = [], []
        examples: list[Example] = []
        for row in self.rows:
            example, rng, unread = fetch(self.sets[objective], plan, chosen, row, (self.recipe.seed, step))
            plain.append(example)
            examples.append(self._augmented(example, rng))
            broken += unread
        return replace(collate(examples, step, list(self.rows), plain), broken=tuple(broken))

    def _augmented(self, example: Example, rng: np.random.Generator) -> Example:
        if not self.recipe.augment:
            return example
        return replace(example, pixels=photometric(example.pixels, rng), tile=photometric(example.tile, rng))

    def _turn(self, step: int, objective: Objective) -> int:
        """How many earlier steps drew from the same set of examples."""
        turn = 0
        for stage in self.recipe.stages:
            whole, rest = divmod(min(step, stage.steps), len(stage.cycle))
            turn += whole * stage.cycle.count(objective) + stage.cycle[:rest].count(objective)
            step -= min(step, stage.steps)
        return turn


class HeldOutBatches(Dataset[Batch]):
    """The same batches of held-out examples at every validation, as they are; the last may leave some out.

    Raises:
        ConfigError: fewer examples than processes.
    """

    def __init__(self, recipe: Recipe, examples: ExampleSet, rank: int = 0, ranks: int = 1) -> None:
        self.recipe, self.examples = recipe, examples
        wanted = min(recipe.validation.examples, len(examples))
        batch = min(recipe.batch, wanted) // ranks * ranks
        self.rows = range(rank, batch, ranks)
        self.plan = plan_of(examples, batch, recipe)
        self.count = min(-(-wanted // batch), self.plan.steps_per_epoch)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        chosen, seeds = self.plan.indices(number), (self.recipe.seed, number)
        fetched = [fetch(self.examples, self.plan, chosen, row, seeds) for row in self.rows]
        batch = collate([example for example, _, _ in fetched], number, list(self.rows))
        return replace(batch, broken=tuple(name for _, _, broken in fetched for name in broken))
