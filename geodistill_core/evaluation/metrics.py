# SPDX-License-Identifier: Apache-2.0
"""The `metrics.json` summary of a run. Frames without truth count as localized but enter no error statistic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geodistill_core.evaluation.calibration import binomial_bounds
from geodistill_core.evaluation.claims import common_risk, hpd_curve, sharpness_m2, stanford, strata
from geodistill_core.evaluation.consistency import NEES_DOF, mean_bounds
from geodistill_core.evaluation.frame_errors import (
    FrameErrors,
    FrameResult,
    PoseAnswer,
    ellipse_quantile_sq,
    errors_of,
    frame_errors,
    gnss_errors_m,
    offset_m,
    scored,
)
from geodistill_core.evaluation.integrity import summarize_protection
from geodistill_core.types import Array

__all__ = [
    "COVERAGE_LEVELS",
    "POSITION_RECALL_M",
    "YAW_RECALL_DEG",
    "FrameErrors",
    "FrameResult",
    "PoseAnswer",
    "bias",
    "bias_text",
    "ellipse_quantile_sq",
    "errors_of",
    "frame_errors",
    "gnss_errors_m",
    "offset_m",
    "scored",
    "share_within",
    "spread",
    "summarize",
]

COVERAGE_LEVELS = (0.5, 0.68, 0.9, 0.95, 0.99)
POSITION_RECALL_M = (1, 3, 5)
YAW_RECALL_DEG = (1, 5)


def summarize(
    results: Sequence[FrameResult],
    *,
    model: str,
    map_name: str,
    seed: int | None = None,
    versions: Mapping[str, str] | None = None,
    elapsed_s: float | None = None,
) -> dict[str, Any]:
    """The `metrics.json` dictionary.

    `recall` is the share of scored frames (answer and truth present) within the limit; how many frames were
    answered at all stands in `frames_localized` and `dropped`. Latency and throughput are null when nobody
    measured them (`latency_ms` of the frames, `elapsed_s` of the run), so that an offline run has the same
    bytes every time.
    """
    errors = scored(results)
    judged = [r for r in results if r.answer is not None and r.truth is not None]
    answers = [r.answer for r in judged if r.answer is not None]
    position = np.array([e.position_m for e in errors], dtype=np.float64)
    yaw_deg = np.degrees(np.abs([e.yaw_rad for e in errors]))
    dropped = Counter(r.dropped for r in results if r.dropped is not None)
    latency = np.array([r.latency_ms for r in results if r.latency_ms is not None], dtype=np.float64)
    position_sq = np.array([e.position_mahalanobis_sq for e in errors], dtype=np.float64)
    localized = len(results) - sum(dropped.values())
    return {
        "frames": len(results),
        "frames_localized": localized,
        "dropped": dict(dropped),
        "position_error_m": spread(position),
        "lateral_error_m": spread(np.abs([e.lateral_m for e in errors])),
        "longitudinal_error_m": spread(np.abs([e.longitudinal_m for e in errors])),
        "position_bias_m": bias(errors),
        "yaw_error_deg": spread(yaw_deg),
        "recall": {f"{limit}m": share_within(position, limit) for limit in POSITION_RECALL_M}
        | {f"{limit}deg": share_within(yaw_deg, limit) for limit in YAW_RECALL_DEG},
        "gnss_error_m": spread(gnss_errors_m(results)),
        "nees": _nees(np.array([e.nees for e in errors], dtype=np.float64)),
        "coverage": {f"{p:g}": share_within(position_sq, ellipse_quantile_sq(p)) for p in COVERAGE_LEVELS},
        "coverage_bounds": {f"{p:g}": list(binomial_bounds(len(errors), p)) for p in COVERAGE_LEVELS if errors},
        "hpd": hpd_curve(results),
        "sharpness_m2": sharpness_m2(answers),
        "strata": strata(judged, errors),
        "protection": summarize_protection(stanford(answers, errors), common_risk(answers)),
        "latency_ms": {f"p{q}": _percentile(latency, q) for q in (50, 90, 99)},
        "throughput_hz": localized / elapsed_s if elapsed_s else None,
        "model": model,
        "map": map_name,
        "seed": seed,
        "versions": dict(versions or {}),
    }


def bias(errors: Sequence[FrameErrors]) -> dict[str, float | None]:
    """Median signed error along each axis, and `horizontal`, that of east and north together (None for no errors).

    The median, because one blunder of many metres moves a mean as far as shifted imagery does. A bias that stays east
    or north while the vehicle turns is the imagery's; one that stays lateral or longitudinal the camera's mounting.
    """
    axes = ("east", "north", "lateral", "longitudinal")
    if not errors:
        return dict.fromkeys((*axes, "horizontal"))
    found = {axis: float(np.median([getattr(error, f"{axis}_m") for error in errors])) for axis in axes}
    return {**found, "horizontal": math.hypot(found["east"], found["north"])}


def bias_text(found: Mapping[str, float | None]) -> str:
    """A bias in words: how far, and how much of it to which side of the truth."""
    if (size_m := found["horizontal"]) is None:
        return "unknown"
    parts = []
    for axis, positive, negative in (("east", "east", "west"), ("north", "north", "south")):
        value = found[axis] or 0.0
        parts.append(f"{abs(value):.2f} m {positive if value >= 0 else negative}")
    return f"{size_m:.2f} m: in the median the answers lie {' and '.join(parts)} of the truth"


def spread(values: Any) -> dict[str, float | None]:
    """Mean, median, p90, p95 and maximum (None each for no values)."""
    array = np.asarray(values, dtype=np.float64)
    return {
        "mean": float(array.mean()) if array.size else None,
        "median": _percentile(array, 50),
        "p90": _percentile(array, 90),
        "p95": _percentile(array, 95),
        "max": float(array.max()) if array.size else None,
    }


def share_within(values: Any, limit: float) -> float | None:
    """Fraction of values that are at most `limit` (None for no values)."""
    array = np.asarray(values, dtype=np.float64)
    return float((array <= limit).mean()) if array.size else None


def _percentile(array: Array, q: float) -> float | None:
    return float(np.percentile(array, q)) if array.size else None


def _nees(values: Array) -> dict[str, Any]:
    mean = float(values.mean()) if values.size else None
    return {
        "mean": mean,
        "median": _percentile(values, 50),
        "p95": _percentile(values, 95),
        "dof": NEES_DOF,
        "frames": int(values.size),
        "bounds": list(mean_bounds(values.size)) if values.size else None,
        "bounds_for": "independent frames; those of a drive are not",
    }
