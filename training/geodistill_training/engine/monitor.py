# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint is the best, and when to stop looking for a better one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Monitor:
    """The best value so far of the figure that picks the best checkpoint, and for how long it has not improved.

    A loss is comparable within a stage only; an error in metres always is.
    """

    name: str
    patience: int | None
    best: float = math.inf
    best_step: int = 0
    waited: int = 0

    def begin_stage(self) -> None:
        """Forget what later values cannot be compared with."""
        if self.name == "loss":
            self.best, self.waited = math.inf, 0

    def improved(self, figures: dict[str, float], step: int) -> bool:
        """Whether the figures are the best so far; what is not finite never is."""
        if self.name not in figures:
            return False
        if figures[self.name] < self.best:
            self.best, self.best_step, self.waited = figures[self.name], step, 0
            return True
        self.waited += 1
        return False

    @property
    def judged(self) -> bool:
        """Whether there is a best checkpoint."""
        return self.best_step > 0

    @property
    def exhausted(self) -> bool:
        """Whether the run should end."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`, but for what the recipe says."""
        self.best, self.best_step, self.waited = state["best"], state["best_step"], state["waited"]
