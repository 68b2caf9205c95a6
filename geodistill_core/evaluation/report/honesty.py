# SPDX-License-Identifier: Apache-2.0
"""Whether a run's claims hold: reliability of ellipses, poses and heat maps, NEES, and the Stanford diagrams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodistill_core.evaluation.calibration import ellipse_level
from geodistill_core.evaluation.report.charts import reliability_chart
from geodistill_core.evaluation.report.columns import Columns
from geodistill_core.evaluation.report.markup import Markup, element, number
from geodistill_core.evaluation.report.svg import Axis, Chart, log_axis
from geodistill_core.types import Array

# quantiles of the chi-square distribution with three degrees of freedom, and its mean
IDEAL_NEES = {"mean": 3.0, "median": 2.366, "95 %": 7.815, "99 %": 11.345}
# the error that is dangerous for the vehicle, and how often the protection level may be passed
ALERT_LIMIT_M = {"lateral": 0.5, "longitudinal": 1.0}
INTEGRITY_RISK = 1e-3
# two-sided quantile of the normal distribution at that risk
RISK_SIGMAS = 3.2905
LOW_M, HIGH_M, CELLS = 0.03, 100.0, 28
ZONES = ("available", "unavailable", "misleading", "hazardous")


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


@dataclass(frozen=True)
class Stanford:
    """Errors [N] along one axis of the vehicle against the protection level [N] that was claimed, metres."""

    axis: str
    error_m: Array
    protection_m: Array

    @property
    def alert_limit_m(self) -> float:
        """The error that is dangerous."""
        return ALERT_LIMIT_M[self.axis]

    def zones(self) -> dict[str, int]:
        """How many frames lie in each zone.

        Available: error <= protection level <= alert limit. Unavailable: the protection level says that the alert
        limit may be passed. Misleading: the error is beyond the protection level, and hazardous where it is also
        beyond the alert limit while the protection level is not.
        """
        beyond = self.error_m > self.protection_m
        available = self.protection_m <= self.alert_limit_m
        hazardous = beyond & available & (self.error_m > self.alert_limit_m)
        counts = (~beyond & available, ~beyond & ~available, beyond & ~hazardous, hazardous)
        return {name: int(mask.sum()) for name, mask in zip(ZONES, counts, strict=True)}


def stanford(columns: Columns, axis: str) -> Stanford:
    """Errors and protection levels along "lateral" or "longitudinal", of all frames with answer and truth."""
    error_m = np.abs(getattr(columns, f"{axis}_m"))
    turn = columns.truth_yaw_rad + (math.pi / 2 if axis == "lateral" else 0.0)
    cos, sin = np.cos(turn), np.sin(turn)
    variance = cos**2 * columns.var_ee + 2 * cos * sin * columns.var_en + sin**2 * columns.var_nn
    used = np.isfinite(error_m)
    return Stanford(axis, error_m[used], RISK_SIGMAS * np.sqrt(np.maximum(variance[used], 0.0)))


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
