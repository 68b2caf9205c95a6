# SPDX-License-Identifier: Apache-2.0
"""Whether a run's claims hold: reliability of ellipses, poses and heat maps, NEES, and the Stanford diagrams."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from geodistill_core.evaluation.calibration import ellipse_level
from geodistill_core.evaluation.integrity import ALERT_LIMIT_M, Stanford
from geodistill_core.evaluation.report.charts import reliability_chart
from geodistill_core.evaluation.report.columns import Columns
from geodistill_core.evaluation.report.markup import Markup, element, join, number, percent
from geodistill_core.evaluation.report.svg import Axis, Chart, log_axis
from geodistill_core.types import Array

# quantiles of the chi-square distribution with three degrees of freedom, and its mean
IDEAL_NEES = {"mean": 3.0, "median": 2.366, "95 %": 7.815, "99 %": 11.345}
LOW_M, HIGH_M, CELLS = 0.03, 100.0, 28


def reliability_figures(columns: Columns) -> list[Markup]:
    """Ellipse, pose and heat map against the truth; a heat map only where the run has kept its level."""
    ellipse = [ellipse_level(d) for d in _known(columns.position_sq).tolist()]
    pose = [ellipsoid_level(d) for d in _known(columns.nees).tolist()]
    hpd = _known(columns.hpd_level).tolist()
    figures = [
        ("Position ellipse", "Coverage of the claimed ellipses", ellipse),
        ("Pose with yaw (NEES)", "Coverage of the claimed pose ellipsoids", pose),
        ("Heat map (HPD)", "Coverage of the heat map's highest-density regions", hpd),
    ]
    return [
        element("figure", element("figcaption", name), reliability_chart(levels, title))
        for name, title, levels in figures
        if levels
    ]


def ellipsoid_level(nees: float) -> float:
    """Probability of the 3-D Gaussian ellipsoid whose border has this squared Mahalanobis distance."""
    return math.erf(math.sqrt(nees / 2.0)) - math.sqrt(2.0 * nees / math.pi) * math.exp(-nees / 2.0)


def nees_table(columns: Columns) -> Markup:
    """NEES of the run beside that of a calibrated source."""
    nees = _known(columns.nees)
    found = {"mean": float(nees.mean())} | {
        name: float(np.percentile(nees, q)) for name, q in (("median", 50), ("95 %", 95), ("99 %", 99))
    }
    head = element("tr", element("th", "NEES, 3 degrees of freedom"), *(element("th", name) for name in IDEAL_NEES))
    rows = (
        element("tr", element("th", title), *(element("td", number(values[name])) for name in IDEAL_NEES))
        for title, values in (("this run", found), ("calibrated", IDEAL_NEES))
    )
    return element("table", element("thead", head), element("tbody", *rows), css="plain")


def stanford(columns: Columns, axis: str) -> Stanford:
    """Errors and protection levels along "lateral" or "longitudinal", of all frames with answer and truth."""
    error_m = np.abs(getattr(columns, f"{axis}_m"))
    used = np.isfinite(error_m)
    return Stanford(axis, error_m[used], getattr(columns, f"protection_{axis}_m")[used])


def strata_table(strata: Sequence[Mapping[str, Any]]) -> Markup:
    """Error, NEES and coverage of each stratum, those outside of their 95 % bounds marked."""
    names = ("", "frames", "median error", "mean NEES", "95 % bounds", "in the 95 % ellipse", "95 % bounds")
    head = element("tr", *(element("th", name) for name in names))
    rows = (
        element(
            "tr",
            element("th", f"{one['by']}: {one['name']}"),
            element("td", one["frames"]),
            element("td", number(one["position_error_m"], " m")),
            _judged(one["nees"], one["nees_bounds"], number),
            _judged(one["coverage"], one["coverage_bounds"], percent),
        )
        for one in strata
    )
    return element("table", element("thead", head), element("tbody", *rows), css="plain")


def _judged(value: float, bounds: Sequence[float], text: Callable[[float], str]) -> Markup:
    """A figure and its bounds, as two cells; outside of them it is marked."""
    outside = not bounds[0] <= value <= bounds[1]
    cell = element("td", text(value), css="outside") if outside else element("td", text(value))
    return join(cell, element("td", f"{text(bounds[0])} – {text(bounds[1])}"))


def stanford_figure(diagram: Stanford) -> Markup:
    """Frames counted in cells over error and protection level, with the share of each zone below."""
    limit_m = diagram.alert_limit_m
    error = log_axis(LOW_M, HIGH_M, f"{diagram.axis} error (m)")
    protection = log_axis(LOW_M, HIGH_M, "protection level (m)")
    chart = Chart(error, protection, f"Stanford diagram, {diagram.axis}", 470, 380)
    chart.cells([(limit_m, LOW_M, HIGH_M, limit_m, 0.16, "hazardously misleading")], "dropped")
    chart.cells([(LOW_M, limit_m, HIGH_M, HIGH_M, 0.10, "unavailable: the alert limit may be passed")], "ideal")
    chart.cells(_counts(diagram, error), "estimate")
    chart.line([(LOW_M, LOW_M), (HIGH_M, HIGH_M)], "ideal")
    chart.line([(LOW_M, limit_m), (HIGH_M, limit_m)], "gnss")
    total = len(diagram.error_m)
    shares = " · ".join(f"{name} {count} ({100 * count / total:.1f} %)" for name, count in diagram.zones().items())
    caption = element("figcaption", f"{diagram.axis.capitalize()}, alert limit {limit_m:g} m")
    return element("figure", caption, chart.render(), element("p", shares, css="remark"))


def _counts(diagram: Stanford, axis: Axis) -> list[tuple[float, float, float, float, float, str]]:
    edges = np.geomspace(axis.low, axis.high, CELLS + 1)
    error_m, protection_m = (np.clip(v, axis.low, axis.high) for v in (diagram.error_m, diagram.protection_m))
    counts = np.histogram2d(error_m, protection_m, bins=(edges, edges))[0].astype(int)
    peak = math.log1p(counts.max()) if counts.size else 1.0
    return [
        (
            float(edges[i]),
            float(edges[j]),
            float(edges[i + 1]),
            float(edges[j + 1]),
            0.25 + 0.75 * math.log1p(counts[i, j]) / peak,
            f"{counts[i, j]} frames",
        )
        for i, j in zip(*np.nonzero(counts), strict=True)
    ]


def _known(values: Array) -> Array:
    return np.asarray(values[np.isfinite(values)])


def stanford_figures(columns: Columns) -> Sequence[Markup]:
    """One diagram for each axis of the vehicle."""
    return [stanford_figure(stanford(columns, axis)) for axis in ALERT_LIMIT_M]
