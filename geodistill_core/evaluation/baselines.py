# SPDX-License-Identifier: Apache-2.0
"""What a method must beat: answering with the prior itself, and guessing inside the search window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geodistill_core.datasets.truth import Truth
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, summarize
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Prior

BASELINE_KEYS = ("position_error_m", "lateral_error_m", "longitudinal_error_m", "yaw_error_deg", "recall")


def center_answer(prior: Prior) -> PoseAnswer:
    """The prior as the answer, with its own covariance."""
    return _answer(prior.latitude, prior.longitude, prior.yaw_enu_rad, prior.sigma_m**2, prior.sigma_yaw_rad**2)


def random_answer(prior: Prior, half_window_m: float, rng: np.random.Generator) -> PoseAnswer:
    """A pose drawn uniformly from the square window around the prior and its +-3 sigma of yaw."""
    east_m, north_m = rng.uniform(-half_window_m, half_window_m, size=2)
    half_yaw_rad = min(math.pi, 3.0 * prior.sigma_yaw_rad)
    yaw_rad = prior.yaw_enu_rad + rng.uniform(-half_yaw_rad, half_yaw_rad)
    latitude, longitude = LocalFrame(prior.point).to_geodetic(east_m, north_m)
    # variance of a uniform distribution of half width h is h^2 / 3
    return _answer(float(latitude), float(longitude), yaw_rad, half_window_m**2 / 3.0, half_yaw_rad**2 / 3.0)


def _answer(latitude: float, longitude: float, yaw_rad: float, var_m: float, var_yaw: float) -> PoseAnswer:
    return PoseAnswer(latitude, longitude, yaw_rad, np.diag([var_m, var_m, var_yaw]), "baseline")


def score_baseline(frames: list[tuple[Truth, PoseAnswer]]) -> dict[str, Any]:
    """The error statistics of one baseline, named as in metrics.json."""
    results = [FrameResult(stamp_ns=i, truth=truth, answer=answer) for i, (truth, answer) in enumerate(frames)]
    summary = summarize(results, model="", map_name="")
    return {key: summary[key] for key in BASELINE_KEYS}
