# SPDX-License-Identifier: Apache-2.0
"""Self-distillation that teaches nothing: it looks like a loss that falls, and so it is looked for.

Three ways it happens: the teacher is the student (an averaging that does not average), the heat maps are the same
whatever is hidden from the student, or they say nothing about the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from geodistill_core.errors import TrainingError

PATIENCE_STEPS = 100
_NO_DIVERGENCE = 1e-5
_UNIFORM = 0.999


@dataclass(frozen=True, slots=True)
class Sign:
    """A watched figure, when it is a bad sign, and what that means."""

    name: str
    figure: str
    bad: Callable[[float], bool]
    meaning: str


SIGNS = (
    Sign(
        "twin teacher",
        "teacher_gap",
        lambda gap: gap == 0.0,
        "the teacher's weights equal the student's at every step, so the student imitates itself: "
        "check distill.teacher, teacher_decay and teacher_period",
    ),
    Sign(
        "no divergence",
        "kl",
        lambda kl: abs(kl) < _NO_DIVERGENCE,
        f"teacher and student agree to a divergence below {_NO_DIVERGENCE} whatever is hidden from the student: "
        "hide more (distill.mask, visible_deg) or start from a better network",
    ),
    Sign(
        "uniform heat maps",
        "teacher_flatness",
        lambda share: share > _UNIFORM,
        f"the teacher's heat maps have more than {_UNIFORM:.1%} of the largest possible entropy and tell no place: "
        "lower distill.temperature, or start from a network that has learned to localize",
    ),
)


class CollapseGuard:
    """Counts steps in a row with each bad sign; figures that an objective does not watch count for nothing."""

    def __init__(self) -> None:
        self.rows = {sign.name: 0 for sign in SIGNS}

    def check(self, step: int, watched: Mapping[str, float]) -> None:
        """Look at one step.

        Raises:
            TrainingError: a sign has stayed for too many steps in a row.
        """
        for sign in SIGNS:
            if sign.figure not in watched:
                continue
            value = watched[sign.figure]
            self.rows[sign.name] = self.rows[sign.name] + 1 if sign.bad(value) else 0
            if self.rows[sign.name] >= PATIENCE_STEPS:
                raise TrainingError(
                    f"training has collapsed at step {step} ({sign.name}: {sign.figure} {value:.3g} for "
                    f"{PATIENCE_STEPS} steps): {sign.meaning}"
                )
