# SPDX-License-Identifier: Apache-2.0
"""The report's first charts: error over time, error distribution, coverage of the claimed ellipses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from geodistill_core.evaluation.calibration import ellipse_level, reliability_curve
from geodistill_core.evaluation.metrics import FrameErrors, FrameResult
from geodistill_core.evaluation.report.columns import Columns
from geodistill_core.evaluation.report.markup import Markup
from geodistill_core.evaluation.report.svg import LEFT, RIGHT, Chart, Point, linear_axis, log_axis
from geodistill_core.types import Array

MAX_POINTS = 1200
FLOOR_M = 0.03


def error_timeline(results: Sequence[FrameResult], columns: Columns) -> Markup:
    """Position error, GNSS error and the claimed 95 % radius over time; dropped frames as ticks.

    The element says which `x` its left and right border have, so that a click can be led to a frame.
    """
    x = columns.x
    high = max((float(np.nanmax(v)) for v in _known(columns.gnss_m, columns.radius_m, columns.position_m)), default=1.0)
    last = float(x[-1]) if len(x) else 1.0
    chart = Chart(
        linear_axis(0.0, last, columns.x_label, wanted=8),
        log_axis(FLOOR_M, max(high, 1.0) * 1.15, "error (m)"),
        "Position error over time",
    )
    for run in _runs(x, columns.radius_m):
        chart.band([(t, FLOOR_M) for t, _ in run], run, "bound")
    for run in _runs(x, columns.gnss_m):
        chart.line(run, "gnss")
    for run in _runs(x, columns.position_m):
        chart.line(run, "estimate")
    if len(x) <= MAX_POINTS:
        unit = " s" if columns.timed else ""
        gnss, ours = np.flatnonzero(np.isfinite(columns.gnss_m)), np.flatnonzero(np.isfinite(columns.position_m))
        chart.dots(
            ((x[i], columns.gnss_m[i], f"{x[i]:.1f}{unit}: GNSS {columns.gnss_m[i]:.2f} m") for i in gnss), "gnss"
        )
        chart.frame_dots(((x[i], columns.position_m[i], _tip(columns, int(i), unit), int(i)) for i in ours), "estimate")
    drops = [(t, f"{t:.1f}: {r.dropped}") for t, r in zip(x.tolist(), results, strict=True) if r.dropped]
    chart.ticks_below(drops[:: max(1, math.ceil(len(drops) / MAX_POINTS))], "dropped")
    borders = {"data_left": LEFT, "data_right": chart.width - RIGHT, "data_last": repr(chart.x.high)}
    return chart.render(id="timeline", **borders)


def _known(*columns: Array) -> Iterator[Array]:
    return (column for column in columns if np.isfinite(column).any())


def _tip(columns: Columns, index: int, unit: str) -> str:
    yaw_deg = math.degrees(columns.yaw_rad[index])
    return f"{columns.x[index]:.1f}{unit}: {columns.position_m[index]:.2f} m, yaw {yaw_deg:+.1f}°"


def _runs(x: Array, values: Array) -> Iterator[list[Point]]:
    """Stretches without gaps, thinned to the largest value of each of at most MAX_POINTS buckets of frames."""
    bucket = max(1, math.ceil(len(x) / MAX_POINTS))
    rows = np.full((-(-len(x) // bucket), bucket), -np.inf)
    rows.flat[: len(x)] = np.where(np.isfinite(values), values, -np.inf)
    tops = np.arange(len(rows)) * bucket + rows.argmax(axis=1) if len(rows) else np.zeros(0, np.int64)
    known = np.isfinite(values[tops])
    for part in np.split(tops, np.flatnonzero(np.diff(known)) + 1):
        if len(part) and np.isfinite(values[part[0]]):
            yield [(float(x[i]), float(values[i])) for i in part]


def error_distribution(errors_m: Sequence[float], gnss_m: Sequence[float]) -> Markup:
    """Share of frames within a distance, ours against GNSS."""
    return distributions([("gnss", gnss_m), ("estimate", errors_m)])


def distributions(named: Sequence[tuple[str, Sequence[float]]]) -> Markup:
    """Share of frames within a distance, a staircase for each (style class, errors in metres)."""
    high = max([1.0, *(max(values) for _, values in named if len(values))])
    chart = Chart(
        log_axis(FLOOR_M, high * 1.15, "within (m)"),
        linear_axis(0.0, 1.0, "share of frames"),
        "Distribution of position error",
        width=470,
        height=320,
    )
    for name, values in named:
        chart.line(_staircase(values, high * 1.15), name)
    return chart.render()


def _staircase(values: Sequence[float], end: float) -> list[Point]:
    if not len(values):
        return []
    ordered = sorted(values)
    kept = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 300)).astype(int))
    points = [(FLOOR_M, 0.0)]
    for index in kept:
        points += [(ordered[index], points[-1][1]), (ordered[index], (index + 1) / len(ordered))]
    return [*points, (end, 1.0)]


def coverage_chart(errors: Sequence[FrameErrors]) -> Markup:
    """Claimed probability against the share of frames whose ellipse of that size holds the truth."""
    levels = [ellipse_level(e.position_mahalanobis_sq) for e in errors]
    return reliability_chart(levels, "Coverage of the claimed ellipses")


def reliability_chart(levels: Sequence[float], title: str, label: str = "claimed probability") -> Markup:
    """Nominal probability against the share of frames inside; `levels` are uniform on [0, 1] where calibrated."""
    curve = reliability_curve(levels)
    chart = Chart(linear_axis(0.0, 1.0, label), linear_axis(0.0, 1.0, "truth inside"), title, 470, 320)
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
