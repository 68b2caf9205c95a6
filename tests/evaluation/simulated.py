# SPDX-License-Identifier: Apache-2.0
"""Hand-made runs whose errors and covariances are known."""

from __future__ import annotations

import math

import numpy as np

from geodistill_core.datasets.truth import Truth
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint

ORIGIN = GeoPoint(47.57665, -122.2985)


def truth_at(east_m: float = 0.0, north_m: float = 0.0, yaw_rad: float = 0.0) -> Truth:
    point = LocalFrame(ORIGIN).point(east_m, north_m)
    return Truth(point.latitude, point.longitude, yaw_rad)


def answer_off(truth: Truth, east_m: float, north_m: float, yaw_rad: float = 0.0, covariance=None) -> PoseAnswer:
    """An answer displaced from the truth by metres in the truth's own tangent plane."""
    latitude, longitude = LocalFrame(truth.point).to_geodetic(east_m, north_m)
    matrix = np.diag([0.25, 0.25, 1e-4]) if covariance is None else np.asarray(covariance)
    return PoseAnswer(latitude, longitude, truth.yaw_enu_rad + yaw_rad, matrix)


def result_off(east_m: float, north_m: float, yaw_rad: float = 0.0, heading_rad: float = 0.0, **fields) -> FrameResult:
    truth = truth_at(yaw_rad=heading_rad)
    return FrameResult(0, truth=truth, answer=answer_off(truth, east_m, north_m, yaw_rad), **fields)


def random_covariance(rng: np.random.Generator) -> np.ndarray:
    """A correlated 3x3 of about half a metre and a degree."""
    scale = np.diag([0.6, 0.4, 0.02]) @ (np.eye(3) + 0.4 * rng.standard_normal((3, 3)))
    return scale @ scale.T + np.diag([1e-3, 1e-3, 1e-6])


def calibrated_drive(count: int, seed: int = 7, drop_every: int = 0) -> list[FrameResult]:
    """A drive around a block whose answers are drawn from exactly the covariances they claim."""
    rng = np.random.default_rng(seed)
    results = []
    for i in range(count):
        angle = 2 * math.pi * i / max(count, 1)
        truth = truth_at(70 * math.cos(angle), 45 * math.sin(angle), angle + math.pi / 2)
        covariance = random_covariance(rng)
        error = rng.multivariate_normal(np.zeros(3), covariance)
        gnss = LocalFrame(truth.point).to_geodetic(*rng.normal(0, 5.0, 2))
        dropped = "no_fix" if drop_every and i % drop_every == drop_every - 1 else None
        answer = None if dropped else answer_off(truth, error[0], error[1], error[2], covariance)
        results.append(FrameResult(i * 400_000_000, truth, answer, gnss, None, dropped))
    return results
