# SPDX-License-Identifier: Apache-2.0
"""What the error depends on: distance driven, speed, GNSS error, confidence, claimed radius."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from geodistill_core.evaluation.report.charts import FLOOR_M
from geodistill_core.evaluation.report.columns import Columns
from geodistill_core.evaluation.report.markup import Markup, element
from geodistill_core.evaluation.report.svg import Chart, Point, linear_axis, log_axis
from geodistill_core.types import Array

MAX_DOTS = 500
MAX_BINS = 10
MIN_IN_BIN = 12
QUANTITIES = (
    ("distance_m", "Distance driven", "distance driven (m)", "m"),
    ("speed_mps", "Speed", "speed (m/s)", "m/s"),
    ("gnss_m", "GNSS error", "GNSS error (m)", "m"),
    ("confidence", "Confidence", "mass of the best mode", ""),
    ("radius_m", "Claimed radius", "claimed 95 % radius (m)", "m"),
)


def error_against(columns: Columns) -> list[Markup]:
    """A figure for each quantity that the frames have, at least two different values of it."""
    return [
        element("figure", element("figcaption", title), _chart(columns, name, title, label, unit))
        for name, title, label, unit in QUANTITIES
        if _varies(getattr(columns, name), columns.position_m)
    ]


def _varies(values: Array, errors: Array) -> bool:
    used = values[np.isfinite(values) & np.isfinite(errors)]
    return len(used) > 1 and float(np.ptp(used)) > 0.0


def _chart(columns: Columns, name: str, title: str, label: str, unit: str) -> Markup:
    values, errors = getattr(columns, name), columns.position_m
    frames = np.flatnonzero(np.isfinite(values) & np.isfinite(errors))
    at, error_m = values[frames], errors[frames]
    chart = Chart(
        linear_axis(float(at.min()), float(at.max()), label),
        log_axis(FLOOR_M, max(1.0, float(error_m.max())) * 1.15, "error (m)"),
        f"Position error against {title.lower()}",
        470,
        300,
    )
    bins = list(_bins(at, error_m))
    chart.band([(x, low) for x, low, _, _ in bins], [(x, high) for x, _, _, high in bins], "bound")
    shown = frames[:: math.ceil(len(frames) / MAX_DOTS)]
    tips = ((float(values[i]), float(errors[i])) for i in shown)
    chart.frame_dots(
        ((x, y, f"{x:.3g} {unit}: {y:.2f} m", int(i)) for (x, y), i in zip(tips, shown, strict=True)), "faint"
    )
    chart.line([(x, middle) for x, _, middle, _ in bins], "estimate")
    if name == "radius_m":
        # on this line the error is what was claimed
        chart.line(_diagonal(chart), "ideal")
    return chart.render()


def _diagonal(chart: Chart) -> list[Point]:
    return [(float(x), float(x)) for x in np.linspace(chart.x.low, chart.x.high, 40)]


def _bins(at: Array, error_m: Array) -> Iterator[tuple[float, float, float, float]]:
    """Median of the quantity with the 10 %, 50 % and 90 % quantile of the error, in bins of equal count."""
    order = np.argsort(at, kind="stable")
    for part in np.array_split(order, max(1, min(MAX_BINS, len(at) // MIN_IN_BIN))):
        low, middle, high = np.percentile(error_m[part], (10, 50, 90))
        yield float(np.median(at[part])), float(low), float(middle), float(high)
