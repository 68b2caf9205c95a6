# SPDX-License-Identifier: Apache-2.0
"""One sample's answer beside those that know nothing of the image: the prior's own, and a guess."""

from __future__ import annotations

from dataclasses import dataclass, replace

from geodistill_core.datasets.case import PriorNoise
from geodistill_core.evaluation.baselines import center_answer, random_answer
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer
from geodistill_core.types import Prior


@dataclass(frozen=True, slots=True)
class Judged:
    """Three results for one sample: `center` is the prior itself, `random` drawn evenly from what is searched."""

    result: FrameResult
    center: FrameResult
    random: FrameResult


def judged(result: FrameResult, prior: Prior, half_window_m: float, seed: int) -> Judged:
    """A result with its baselines; what is drawn depends on the seed and the sample's key alone."""
    chances = PriorNoise(seed=seed).draws(f"{result.key} guess")
    return Judged(
        result,
        _answered(result, center_answer(prior)),
        _answered(result, random_answer(prior, half_window_m, chances)),
    )


def _answered(result: FrameResult, answer: PoseAnswer) -> FrameResult:
    return replace(result, answer=answer, dropped=None, confidence=None, hpd_level=None)
