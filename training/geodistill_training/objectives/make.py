# SPDX-License-Identifier: Apache-2.0
"""Objectives by the names that recipes give them; a new one is one file and one line here."""

from __future__ import annotations

from typing import Any

from geodistill_core.errors import ConfigError
from geodistill_training.families.base import Family
from geodistill_training.objectives import base
from geodistill_training.objectives.distill import DistillObjective
from geodistill_training.objectives.orientation import OrientationObjective
from geodistill_training.objectives.pretext import PretextObjective
from geodistill_training.objectives.pseudo import PseudoObjective
from geodistill_training.objectives.supervised import SupervisedObjective
from geodistill_training.objectives.weak import WeakObjective
from geodistill_training.recipe.recipe import Objective, Recipe

OBJECTIVES: dict[Objective, type[base.Objective]] = {
    "pretext": PretextObjective,
    "weak": WeakObjective,
    "orientation": OrientationObjective,
    "distill": DistillObjective,
    "pseudo": PseudoObjective,
    "supervised": SupervisedObjective,
}


def make_objective(name: Objective, family: Family[Any, Any], recipe: Recipe) -> base.Objective:
    """The objective of that name on a network.

    Raises:
        ConfigError: there is none.
    """
    if name not in OBJECTIVES:
        raise ConfigError(f"objective {name!r} cannot be trained; choose from {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name](family, recipe)
