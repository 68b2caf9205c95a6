# SPDX-License-Identifier: Apache-2.0
"""What the engine asks of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from geodistill_training.data.batches import row_rng
from geodistill_training.data.examples import Batch
from geodistill_training.families.base import Family
from geodistill_training.recipe.recipe import Recipe

_OBJECTIVE_STREAM = 1_000_003


def alone(x: Tensor) -> Tensor:
    """The rows of all processes where there is one."""
    return x


class Objective(ABC):
    """One loss on a network in training. Randomness comes from `rng`, so that a resumed run repeats it.

    A batch holds this process's rows of the global batch and the loss is their mean; a loss that compares rows gets
    those of every process, in the order of the global batch and with gradients, from `gather_rows`. One that is not
    `labelled` never sees a truth.
    """

    labelled: bool = False

    def __init__(self, family: Family[Any, Any], recipe: Recipe) -> None:
        self.family, self.recipe = family, recipe
        self.gather_rows: Callable[[Tensor], Tensor] = alone

    @property
    def kept(self) -> Family[Any, Any]:
        """The network that this objective is run for: what is validated and shipped."""
        return self.family

    def rng(self, batch: Batch, row: int = 0) -> np.random.Generator:
        """Randomness of one row of the global batch, other than that which made the batch."""
        return row_rng(self.recipe.seed, batch.step, _OBJECTIVE_STREAM + row)

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss and what is worth watching."""

    def set_template(self, template_cells: int | None) -> None:
        """Set what a stage may choose, in networks of the objective's own; called whenever a stage is entered."""

    def begin_stage(self) -> None:
        """Called before the first step of every stage."""

    def after_step(self, steps_per_epoch: int) -> None:
        """Called after every optimizer step on this objective."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the network."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
