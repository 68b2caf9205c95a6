# SPDX-License-Identifier: Apache-2.0
"""Every shipped recipe is valid, names a network that its objectives train, and says what the papers say."""

from importlib import resources

import pytest
import torch
from geodistill_training.families import family_of
from geodistill_training.objectives.make import make_objective
from geodistill_training.recipe import load_recipe

from geodistill_core.models.registry import build

NAMES = sorted(p.name[:-5] for p in (resources.files("geodistill_training") / "recipes").iterdir() if ".yaml" in p.name)


@pytest.mark.parametrize("name", NAMES)
def test_its_network_and_its_objectives_are_built(name):
    recipe = load_recipe(name)
    with torch.device("meta"):
        network = build(recipe.network.architecture, recipe.network.geometry, **recipe.network.arguments)
    family = family_of(network, recipe.precision == "bf16-mixed")
    for objective in {objective for stage in recipe.stages for objective in stage.cycle}:
        assert make_objective(objective, family, recipe).family is family


def test_the_papers_recipes_are_shipped():
    papers = {"vigor-weak", "vigor-distill", "vigor-distill-dino", "kitti-weak", "kitti-distill"}
    assert {*papers, "vigor-orientation", "vigor-ccvpe", "vigor-ggcvt", "tiny"} <= set(NAMES)


@pytest.mark.parametrize(
    ("name", "passes", "examples"),
    [
        ("vigor-weak", 10, 41216),
        ("vigor-distill", 20, 41216),
        ("vigor-distill-dino", 30, 41216),
        ("kitti-weak", 5, 19655),
        ("kitti-distill", 10, 19655),
        ("vigor-orientation", 16, 41216),
        ("vigor-ccvpe", 15, 42087),
        ("vigor-ggcvt", 10, 42087),
    ],
)
def test_steps_are_the_published_passes_over_the_published_lists(name, passes, examples):
    recipe = load_recipe(name)
    assert recipe.steps == passes * (examples // recipe.batch)


@pytest.mark.parametrize(("name", "visible"), [("vigor-distill", (180, 240)), ("kitti-distill", (270, 300))])
def test_distillation_has_the_published_masks_temperatures_and_teacher(name, visible):
    options = load_recipe(name).distill
    assert (options.visible_deg, options.wrap, options.mask, options.masked) == (visible, False, "fov", "both")
    assert (options.temperature, options.student_temperature) == (0.06, 0.06)
    assert (options.teacher, options.teacher_decay, options.teacher_period, options.keep) == (
        "ema",
        0.9,
        "epoch",
        "teacher",
    )
