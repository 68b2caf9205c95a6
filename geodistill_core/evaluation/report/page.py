# SPDX-License-Identifier: Apache-2.0
"""The page: one HTML file with everything in it, that loads nothing from anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from geodistill_core.evaluation.metrics import FrameResult
from geodistill_core.evaluation.report.against import error_against
from geodistill_core.evaluation.report.backdrop import backdrop
from geodistill_core.evaluation.report.cards import cards
from geodistill_core.evaluation.report.charts import MAX_POINTS, error_distribution, error_timeline
from geodistill_core.evaluation.report.columns import Columns, columns_of
from geodistill_core.evaluation.report.document import asset, whole_page
from geodistill_core.evaluation.report.gallery import GalleryFrame
from geodistill_core.evaluation.report.honesty import (
    nees_table,
    reliability_figures,
    stanford_figures,
    strata_table,
)
from geodistill_core.evaluation.report.markup import Markup, element, join
from geodistill_core.evaluation.report.operation import drops_table, latency_figure
from geodistill_core.evaluation.report.scrubber import scrubber, scrubber_data
from geodistill_core.evaluation.report.tables import (
    bias_line,
    definitions,
    error_table,
    key_figures,
    legend,
    recall_line,
)
from geodistill_core.evaluation.report.trajectory import View, trajectory_svg, view_of, way

if TYPE_CHECKING:
    from geodistill_core.maps import MapSource

SHOWN_WORST = 8
NOTHING = Markup("")


@dataclass(frozen=True)
class Report:
    """What the page shows; `summary` is the metrics.json dictionary of `results`."""

    title: str
    summary: Mapping[str, Any]
    results: Sequence[FrameResult]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    sample: Sequence[GalleryFrame] = ()
    worst: Sequence[GalleryFrame] = ()
    source: MapSource | None = None


def render_report(report: Report) -> str:
    """The page as text; the same report gives the same bytes."""
    columns = columns_of(report.results)
    view = view_of(report.results)
    content = element(
        "main",
        _header(report),
        key_figures(report.summary),
        _drive(report, view),
        _timeline(report, columns),
        _frames(report, columns, view),
        _worst(report, columns),
        errors_section(report, columns),
        honesty_section(columns, report.summary),
        run_section(report, columns),
    )
    return whole_page(report.title, content, asset("scrubber.js") if report.results else "")


def _header(report: Report) -> Markup:
    s = report.summary
    line = f"{s['frames_localized']} of {s['frames']} frames localized · model {s['model']} · map {s['map']}"
    brand = element("p", "GeoDistill", css="brand")
    return element("header", brand, element("h1", report.title), element("p", line))


def _drive(report: Report, view: View | None) -> Markup:
    if view is None:
        nothing = "No frame was localized and none has ground truth, or they are too far apart for one picture."
        return section("The drive", element("p", nothing, css="empty"))
    keys = legend(("path", "ground truth"), ("pose", "estimate with 95 % ellipse"), ("fix", "GNSS fix"))
    imagery = backdrop(report.source, view, view.pixels(way(report.results)))
    return section("The drive", keys, trajectory_svg(report.results, view, imagery))


def _timeline(report: Report, columns: Columns) -> Markup:
    if not report.results:
        return NOTHING
    keys = [("estimate", "position error"), ("bound", "claimed 95 % radius"), ("gnss", "GNSS error")]
    if report.summary["dropped"]:
        keys.append(("dropped", "dropped frame"))
    merged = math.ceil(len(report.results) / MAX_POINTS)
    said = element("p", f"Each point is the largest of {merged} frames.", css="remark") if merged > 1 else NOTHING
    return section("Error over time", legend(*keys), error_timeline(report.results, columns), said)


def _frames(report: Report, columns: Columns, view: View | None) -> Markup:
    if not report.results:
        return NOTHING
    keys = legend(("answer", "estimate, 95 % ellipse"), ("truth", "ground truth"), ("fix", "GNSS"))
    pictures = {frame.index: frame for frame in [*report.sample, *report.worst]}
    data = scrubber_data(report.results, columns, pictures.values(), view)
    return section("Frame by frame", keys, scrubber(), data)


def _worst(report: Report, columns: Columns) -> Markup:
    frames = list(report.worst)[:SHOWN_WORST]
    return section("Largest errors", cards(frames, columns)) if frames else NOTHING


def errors_section(report: Report, columns: Columns) -> Markup:
    """Distribution of the error and what it depends on; nothing without truth."""
    position_m = columns.position_m[np.isfinite(columns.position_m)]
    if not len(position_m):
        return NOTHING
    gnss_m = columns.gnss_m[np.isfinite(columns.gnss_m)]
    distribution = element(
        "figure",
        element("figcaption", "Share of frames within a distance"),
        error_distribution(position_m.tolist(), gnss_m.tolist()),
    )
    keys = legend(
        ("estimate", "estimate, median"), ("bound", "10 % to 90 %"), ("gnss", "GNSS"), ("ideal", "as claimed")
    )
    charts = element("div", distribution, *error_against(columns), css="pair")
    figures = (error_table(report.summary), recall_line(report.summary), bias_line(report.summary))
    return section("How good, and when", *figures, keys, charts)


def honesty_section(columns: Columns, summary: Mapping[str, Any]) -> Markup:
    """Whether the claimed covariances hold; nothing without truth."""
    if not np.isfinite(columns.nees).any():
        return NOTHING
    keys = legend(("estimate", "observed"), ("ideal", "calibrated, 95 % band for independent frames"))
    reliability = element("div", *reliability_figures(columns), css="trio")
    diagrams = element("div", *stanford_figures(columns), css="pair")
    risk = "Each protection level has its own risk." if columns.risk is None else _risk_line(columns.risk)
    remark = (
        f"{risk} Below the horizontal line the answer is offered for use; right of the diagonal the claim was wrong."
    )
    integrity = join(element("h3", "Integrity"), element("p", remark, css="remark"), diagrams)
    return section("How honest", keys, reliability, nees_table(columns), _strata(summary), integrity)


def _risk_line(risk: float) -> str:
    return f"The protection level claims that {100 * (1 - risk):g} % of errors along each axis stay below it."


def _strata(summary: Mapping[str, Any]) -> Markup:
    strata = summary.get("strata", [])
    if not strata:
        return NOTHING
    remark = "Bounds are those of independent frames; frames of a drive are not, so that a figure may stray further."
    said = element("p", remark, css="remark")
    return join(element("h3", "Where the claims hold"), said, strata_table(strata))


def run_section(report: Report, columns: Columns) -> Markup:
    """Drops, latency, configuration and versions."""
    s = report.summary
    facts: dict[str, Any] = {"model": s["model"], "map": s["map"], **report.configuration}
    if s["seed"] is not None:
        facts["seed"] = s["seed"]
    if s["throughput_hz"] is not None:
        facts["throughput"] = f"{s['throughput_hz']:.1f} frames per second"
    operation = element("div", drops_table(s), latency_figure(columns) or NOTHING, css="pair")
    lists = element("div", definitions("Configuration", facts), definitions("Versions", s["versions"]), css="lists")
    return section("The run", operation, lists)


def section(title: str, *content: Markup) -> Markup:
    """A part of the page under its title."""
    return element("section", element("h2", title), join(*content))
