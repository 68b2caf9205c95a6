# SPDX-License-Identifier: Apache-2.0
"""A set of examples whose truth is what a teacher said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geodistill_core.errors import DatasetError
from geodistill_core.types import Array
from geodistill_training.adapt.predictions import Predictions, drawn_example
from geodistill_training.data.examples import Example, ExampleSet


class PseudoLabelled:
    """The examples `rows` of a set with pseudo ground truth; each is drawn as it was when the teacher saw it."""

    def __init__(self, examples: ExampleSet, teacher: Predictions, rows: Array, seed: int) -> None:
        if len(teacher) != len(examples):
            raise DatasetError(
                f"{len(teacher)} predictions do not belong to {len(examples)} examples; delete the run's predictions"
            )
        self.examples, self.teacher, self.seed = examples, teacher, seed
        self.rows = np.asarray(rows, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> Sequence[str]:
        """See `ExampleSet`."""
        groups = self.examples.groups
        return [groups[row] for row in self.rows]

    @property
    def looks(self) -> Sequence[str]:
        """See `ExampleSet`."""
        looks = self.examples.looks
        return [looks[row] for row in self.rows]

    @property
    def places_m(self) -> Array:
        """See `ExampleSet`."""
        return np.asarray(self.examples.places_m[self.rows])

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """See `ExampleSet`.

        Raises:
            DatasetError: the prediction belongs to another example.
        """
        row = int(self.rows[index])
        example, said = drawn_example(self.examples, row, self.seed), self.teacher
        if example.key != said.keys[row]:
            raise DatasetError(
                f"the prediction for {said.keys[row]} stands where {example.key} is; delete the run's predictions"
            )
        pose = np.array([said.east_m[row], said.north_m[row], said.yaw_enu_rad[row]], np.float32)
        return replace(example, truth=pose)
