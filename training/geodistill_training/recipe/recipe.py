# SPDX-License-Identifier: Apache-2.0
"""A training recipe: everything that decides the weights, validated, in one YAML file."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field, model_validator

from geodistill_core.errors import ConfigError
from geodistill_training.recipe.data import DataRecipe, SynthData
from geodistill_training.recipe.network import NetworkRecipe
from geodistill_training.recipe.objectives import (
    AdaptRecipe,
    DistillRecipe,
    OrientationRecipe,
    PretextRecipe,
    SupervisedRecipe,
    WeakRecipe,
)
from geodistill_training.recipe.strict import Strict

Method = Literal["weak", "orientation", "distill", "adapt", "supervised"]
Objective = Literal["pretext", "weak", "orientation", "distill", "pseudo", "supervised"]
Precision = Literal["32-true", "bf16-mixed"]


class StageRecipe(Strict):
    """A stretch of steps whose learning rate follows half a cosine down to `final_share`; they go round `cycle`."""

    name: str
    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=0.1)
    final_share: float = Field(0.1, ge=0, le=1)
    cycle: tuple[Objective, ...] = Field(min_length=1)
    template_cells: int | None = Field(None, ge=33, le=129)


class ValidationRecipe(Strict):
    """How often and on how many held-out examples the network is judged; `monitor` picks the best checkpoint.

    `loss` is the method's own objective on held-out examples, which needs no label; the others need truth.
    `patience` validations without improvement end the run, None never does.
    """

    every_steps: int = Field(200, ge=1)
    examples: int = Field(64, ge=1, le=100_000)
    monitor: Literal["loss", "mean_m", "median_m"] = "loss"
    patience: int | None = Field(None, ge=1)
    data: DataRecipe | None = None


class Recipe(Strict):
    """The whole recipe."""

    name: str
    method: Method
    seed: int = Field(1, ge=0)
    batch: int = Field(16, ge=1, le=4096)
    precision: Precision = "32-true"
    network: NetworkRecipe = NetworkRecipe()
    data: DataRecipe = SynthData()
    spacing_m: float = Field(100.0, ge=0)
    augment: bool = True
    stages: tuple[StageRecipe, ...] = Field(min_length=1)
    validation: ValidationRecipe = ValidationRecipe()
    weight_decay: float = Field(1e-4, ge=0, le=1)
    warm_up_steps: int = Field(100, ge=1)
    gradient_clip: float = Field(1.0, gt=0)
    pretext: PretextRecipe = PretextRecipe()
    weak: WeakRecipe = WeakRecipe()
    orientation: OrientationRecipe = OrientationRecipe()
    distill: DistillRecipe = DistillRecipe()
    adapt: AdaptRecipe = AdaptRecipe()
    supervised: SupervisedRecipe = SupervisedRecipe()

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

    def objective_at(self, step: int) -> Objective:
        """What is trained at a global step."""
        stage, within = self.stage_at(step)
        return stage.cycle[within % len(stage.cycle)]

    def digest(self) -> str:
        """A short hash of everything in it."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        flat = any("pretext" in stage.cycle for stage in self.stages)
        if flat and not (isinstance(self.data, SynthData) and self.network.architecture == "tiny"):
            raise ValueError("the flat-world pretext draws SynthCity views for architecture 'tiny' only")
        return self
