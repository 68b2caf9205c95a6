# SPDX-License-Identifier: Apache-2.0
"""A training recipe: everything that decides the weights, validated, in one YAML file."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geodistill_core.errors import ConfigError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataRecipe(_Strict):
    """Which worlds are rendered, and how often."""

    cities_per_style: int = Field(24, ge=1, le=1000)
    pairs_per_city: int = Field(48, ge=4, le=1000)
    flats_per_city: int = Field(12, ge=1, le=1000)
    first_seed: int = Field(0, ge=0, lt=10_000)
    tile_extent_m: float = Field(64.0, ge=40, le=120)
    position_range_m: float = Field(13.0, ge=1, le=20)


class StageRecipe(_Strict):
    """A stretch of training steps; the weights of the losses that are on in it."""

    name: str
    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=0.1)
    pretext: float = Field(0.0, ge=0)
    contrastive: float = Field(0.0, ge=0)
    distill: float = Field(0.0, ge=0)
    template_cells: int = Field(65, ge=33, le=129)


class Recipe(_Strict):
    """The whole recipe."""

    architecture: str = "tiny"
    name: str = "tiny"
    seed: int = 1
    batch: int = Field(16, ge=2, le=256)
    yaw_spread_deg: float = Field(45.0, ge=0, le=180)
    teacher_decay: float = Field(0.9, ge=0, lt=1)
    teacher_period: int = Field(60, ge=1)
    temperature_sharpening: float = Field(2.0, ge=1)
    data: DataRecipe = DataRecipe()
    stages: tuple[StageRecipe, ...]

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[StageRecipe, int]:
        """The stage of a global step, and the step within it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise ConfigError(f"step {step} lies behind the last stage; the recipe has {self.steps} steps")

    def digest(self) -> str:
        """A short hash of everything in it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def load_recipe(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or a YAML file.

    Raises:
        ConfigError: the file is missing or a value is out of range; the message lists each fault.
    """
    path = Path(name_or_path)
    shipped = resources.files(__package__) / "recipes" / f"{name_or_path}.yaml"
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise ConfigError(f"recipe {path} does not exist")
        text = path.read_text()
    elif shipped.is_file():
        text = shipped.read_text()
    else:
        names = sorted(
            p.name[:-5] for p in (resources.files(__package__) / "recipes").iterdir() if p.name.endswith(".yaml")
        )
        raise ConfigError(f"no recipe named {name_or_path!r}; shipped: {', '.join(names)}; or give a .yaml file")
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe {name_or_path} is not valid: {error}") from error
