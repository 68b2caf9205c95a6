# SPDX-License-Identifier: Apache-2.0
"""What ends a run: losses that stay not finite, and too many examples that cannot be read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from geodistill_core.errors import DatasetError, TrainingError
from geodistill_training.data.examples import Batch
from geodistill_training.engine.learner import Learner, Step

_SKIPPED_IN_A_ROW = 3
_BROKEN_SHARE = 0.01
_BROKEN_AT_LEAST = 5


class FiniteGuard:
    """Counts steps that were skipped because their loss or gradient was not finite."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.skipped: list[dict[str, Any]] = []

    def check(self, learner: Learner, batch: Batch, step: Step) -> str | None:
        """What to say of a step that was skipped, None where it was taken.

        Raises:
            TrainingError: more than three in a row; `not_finite.json` in the run folder tells about each.
        """
        if step.finite:
            self.skipped = []
            return None
        record = {
            "step": batch.step,
            "objective": learner.recipe.objective_at(batch.step),
            "keys": list(batch.keys),
            "loss": str(step.loss),
            "gradient_norm": str(step.gradient_norm),
            "learning_rate": step.learning_rate,
            "watched": {key: str(value) for key, value in step.watched.items()},
            "parameters": learner.bad_parameters(),
        }
        self.skipped.append(record)
        said = f"step {batch.step} skipped: loss {step.loss}, gradient norm {step.gradient_norm}"
        if len(self.skipped) <= _SKIPPED_IN_A_ROW:
            return said
        dump = self.run / "not_finite.json"
        dump.write_text(json.dumps(self.skipped, indent=2) + "\n")
        raise TrainingError(
            f"{said}; so were the {len(self.skipped) - 1} before it, limit {_SKIPPED_IN_A_ROW}. {dump} names their "
            "examples; lower learning_rate, or remove those examples"
        )


class BrokenGuard:
    """Remembers which examples could not be read; one in a hundred may be, and five in any case."""

    def __init__(self, examples: int) -> None:
        self.limit = max(_BROKEN_AT_LEAST, math.floor(_BROKEN_SHARE * examples))
        self.names: set[str] = set()

    def check(self, batch: Batch) -> list[str]:
        """What is broken that was not known before.

        Raises:
            DatasetError: more than the limit.
        """
        new = [name for name in batch.broken if name not in self.names]
        self.names.update(new)
        if len(self.names) > self.limit:
            raise DatasetError(
                f"{len(self.names)} examples cannot be read, limit {self.limit}; repair or remove them: "
                f"{'; '.join(sorted(self.names))}"
            )
        return new
