# SPDX-License-Identifier: Apache-2.0
"""Recipes: everything that decides the weights of a run."""

from geodistill_training.recipe.load import load_recipe
from geodistill_training.recipe.recipe import Recipe, StageRecipe

__all__ = ["Recipe", "StageRecipe", "load_recipe"]
