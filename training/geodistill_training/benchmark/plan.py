# SPDX-License-Identifier: Apache-2.0
"""What the benchmark trains, what it starts from, and on what it is judged: one YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from geodistill_core.errors import ConfigError
from geodistill_training.benchmark.evaluate import View
from geodistill_training.recipe.data import SynthData
from geodistill_training.recipe.recipe import Recipe
from geodistill_training.recipe.strict import Strict


class VariantRecipe(Strict):
    """A model of the table: `after` is the variant whose weights it starts from, `recipe` what differs from the base's.

    `seeds` restricts it to some of the benchmark's seeds.
    """

    title: str
    after: str | None = None
    recipe: dict[str, Any]
    seeds: tuple[int, ...] | None = None


class ComparisonRecipe(Strict):
    """A method against its control."""

    method: str
    control: str


class JudgedOn(Strict):
    """A set of pairs and the views it is asked under: name to (visible degrees, heading error in degrees)."""

    data: SynthData
    views: dict[str, tuple[int, float]]

    def as_views(self) -> list[View]:
        """The views by name."""
        return [View(name, visible, wrong) for name, (visible, wrong) in self.views.items()]


class BenchmarkPlan(Strict):
    """See the module."""

    seeds: tuple[int, ...] = Field(min_length=1)
    base: dict[str, Any]
    variants: dict[str, VariantRecipe]
    judged_on: dict[str, JudgedOn]
    comparisons: tuple[ComparisonRecipe, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> BenchmarkPlan:
        known: set[str] = set()
        for name, variant in self.variants.items():
            if variant.after is not None and variant.after not in known:
                raise ValueError(f"variant {name!r} starts after {variant.after!r}, which is not listed before it")
            known.add(name)
        for named in (n for c in self.comparisons for n in (c.method, c.control)):
            if named not in known:
                raise ValueError(f"comparison names {named!r}, which is no variant")
        return self

    def recipe(self, variant: str, seed: int) -> Recipe:
        """The whole recipe of a variant."""
        own = self.variants[variant].recipe
        return Recipe.model_validate(_merged(self.base, {**own, "name": variant, "seed": seed}))

    def runs(self) -> Iterator[tuple[int, str]]:
        """Seed and variant, in the order in which they are trained: all seeds of a variant before the next one."""
        for name, variant in self.variants.items():
            for seed in self.seeds:
                if variant.seeds is None or seed in variant.seeds:
                    yield seed, name


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`base` with what `own` says instead, key by key."""
    out = dict(base)
    for key, value in own.items():
        nested = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if nested else value
    return out


def load_plan(path: Path | None = None) -> BenchmarkPlan:
    """The plan in a file, or the shipped one.

    Raises:
        ConfigError: a value is out of range or a name unknown; the message lists each fault.
    """
    source = path or resources.files(__package__) / "synthcity.yaml"
    try:
        return BenchmarkPlan.model_validate(yaml.safe_load(source.read_text()))
    except (ValidationError, yaml.YAMLError, OSError) as error:
        raise ConfigError(f"benchmark plan {source} is not valid: {error}") from error
