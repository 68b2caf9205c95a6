# SPDX-License-Identifier: Apache-2.0
"""The report's charts: error over time, error distribution, coverage of the claimed ellipses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np

from geodistill_core.evaluation.calibration import ellipse_level, reliability_curve
from geodistill_core.evaluation.metrics import (
    FrameErrors,
    FrameResult,
    PoseAnswer,
    ellipse_quantile_sq,
    frame_errors,
    offset_m,
)
from geodistill_core.evaluation.report.markup import Markup
from geodistill_core.evaluation.report.svg import Chart, Point, linear_axis, log_axis

_Value = TypeVar("_Value")

MAX_POINTS = 1200
FLOOR_M = 0.03


def claimed_radius_m(answer: PoseAnswer, probability: float = 0.95) -> float:
    """Half of the long axis of the claimed position ellipse."""
    largest = float(np.linalg.eigvalsh(np.asarray(answer.covariance)[:2, :2])[-1])
    return math.sqrt(ellipse_quantile_sq(probability) * largest)


def error_timeline(results: Sequence[FrameResult]) -> Markup:
    """Position error, GNSS error and the claimed 95 % radius over time; dropped frames as ticks."""
    start_ns = results[0].stamp_ns if results else 0
    seconds = [(r.stamp_ns - start_ns) / 1e9 for r in results]
    errors = [frame_errors(r.answer, r.truth) if r.answer and r.truth else None for r in results]
    gnss = [math.hypot(*offset_m(*r.gnss, r.truth)) if r.gnss and r.truth else None for r in results]
    radius = [claimed_radius_m(r.answer) if r.answer else None for r in results]
    high = max([v for v in [*gnss, *radius] if v is not None] + [e.position_m for e in errors if e] + [1.0])
    chart = Chart(
        linear_axis(0.0, max(seconds, default=1.0), "time (s)", wanted=8),
        log_axis(FLOOR_M, high * 1.15, "error (m)"),
        "Position error over time",
    )
    for run in _runs(seconds, radius):
        chart.band([(t, FLOOR_M) for t, _ in run], run, "bound")
    for run in _runs(seconds, gnss):
        chart.line(run, "gnss")
    for run in _runs(seconds, [e.position_m if e else None for e in errors]):
        chart.line(run, "estimate")
    if len(results) <= MAX_POINTS:
        chart.dots(((t, v, f"{t:.1f} s: GNSS {v:.2f} m") for t, v in _present(seconds, gnss)), "gnss")
        chart.dots(((t, e.position_m, _tip(t, e)) for t, e in _present(seconds, errors)), "estimate")
    drops = [(t, f"{t:.1f} s: {r.dropped}") for t, r in zip(seconds, results, strict=True) if r.dropped]
    chart.ticks_below(drops[:MAX_POINTS], "dropped")
    return chart.render()


def _present(times: Sequence[float], values: Sequence[_Value | None]) -> Iterator[tuple[float, _Value]]:
    return ((t, v) for t, v in zip(times, values, strict=True) if v is not None)


def _tip(seconds: float, error: FrameErrors) -> str:
    return f"{seconds:.1f} s: {error.position_m:.2f} m, yaw {math.degrees(error.yaw_rad):+.1f}°"


def _runs(times: Sequence[float], values: Sequence[float | None]) -> Iterator[list[Point]]:
    """Stretches without gaps, thinned to the largest value of each of at most MAX_POINTS buckets."""
    bucket = max(1, math.ceil(len(times) / MAX_POINTS))
    for present, group in groupby(zip(times, values, strict=True), key=lambda pair: pair[1] is not None):
        if present:
            points = [(t, v) for t, v in group if v is not None]
            yield [max(points[i : i + bucket], key=lambda p: p[1]) for i in range(0, len(points), bucket)]


def error_distribution(errors_m: Sequence[float], gnss_m: Sequence[float]) -> Markup:
    """Share of frames within a distance, ours against GNSS."""
    high = max([1.0, *errors_m, *gnss_m])
    chart = Chart(
        log_axis(FLOOR_M, high * 1.15, "within (m)"),
        linear_axis(0.0, 1.0, "share of frames"),
        "Distribution of position error",
        width=470,
        height=320,
    )
    chart.line(_staircase(gnss_m, high * 1.15), "gnss")
    chart.line(_staircase(errors_m, high * 1.15), "estimate")
    return chart.render()


def _staircase(values: Sequence[float], end: float) -> list[Point]:
    if not values:
        return []
    ordered = sorted(values)
    kept = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 300)).astype(int))
    points = [(FLOOR_M, 0.0)]
    for index in kept:
        points += [(ordered[index], points[-1][1]), (ordered[index], (index + 1) / len(ordered))]
    return [*points, (end, 1.0)]


def coverage_chart(errors: Sequence[FrameErrors]) -> Markup:
    """Claimed probability against the share of frames whose ellipse of that size holds the truth."""
    curve = reliability_curve(ellipse_level(e.position_mahalanobis_sq) for e in errors)
    axis = linear_axis(0.0, 1.0, "claimed probability")
    chart = Chart(axis, linear_axis(0.0, 1.0, "truth inside"), "Coverage of the claimed ellipses", 470, 320)
    ends = ((0.0, 0.0), (1.0, 1.0))
    if curve.nominal:
        lower = [ends[0], *zip(curve.nominal, curve.low, strict=True), ends[1]]
        upper = [ends[0], *zip(curve.nominal, curve.high, strict=True), ends[1]]
        chart.band(lower, upper, "ideal")
    chart.line(ends, "ideal")
    observed = list(zip(curve.nominal, curve.observed, strict=True))
    chart.line([ends[0], *observed, ends[1]] if observed else [], "estimate")
    chart.dots(((n, o, f"claimed {n:.0%}, observed {o:.0%}") for n, o in observed), "estimate")
    return chart.render()
