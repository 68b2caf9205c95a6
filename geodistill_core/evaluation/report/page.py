# SPDX-License-Identifier: Apache-2.0
"""The page: one HTML file without scripts, fonts or pictures from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from geodistill_core.evaluation.metrics import FrameResult, gnss_errors_m, scored
from geodistill_core.evaluation.report.cards import cards
from geodistill_core.evaluation.report.charts import coverage_chart, error_distribution, error_timeline
from geodistill_core.evaluation.report.gallery import GalleryFrame
from geodistill_core.evaluation.report.markup import Markup, element, join
from geodistill_core.evaluation.report.tables import (
    definitions,
    error_table,
    key_figures,
    legend,
    recall_line,
)
from geodistill_core.evaluation.report.trajectory import backdrop, trajectory_svg, view_of

if TYPE_CHECKING:
    from geodistill_core.maps import MapSource

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
    content = element(
        "main",
        _header(report),
        key_figures(report.summary),
        _drive(report),
        _timeline(report),
        _errors(report),
        _gallery("Frames along the drive", report.sample, report),
        _gallery("Largest errors", report.worst, report),
        _run(report),
    )
    return whole_page(report.title, content)


def whole_page(title: str, content: Markup) -> str:
    """A page of the house's look around `content`."""
    css = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · GeoDistill"),
        element("style", Markup(css)),
    )
    return "<!doctype html>\n" + element("html", head, element("body", content), lang="en") + "\n"


def _header(report: Report) -> Markup:
    s = report.summary
    line = f"{s['frames_localized']} of {s['frames']} frames localized · model {s['model']} · map {s['map']}"
    brand = element("p", "GeoDistill", css="brand")
    return element("header", brand, element("h1", report.title), element("p", line))


def _drive(report: Report) -> Markup:
    view = view_of(report.results)
    if view is None:
        nothing = "No frame was localized, and none has ground truth."
        return _section("The drive", element("p", nothing, css="empty"))
    keys = legend(("path", "ground truth"), ("pose", "estimate with 95 % ellipse"), ("fix", "GNSS fix"))
    picture = trajectory_svg(report.results, view, backdrop(report.source, view))
    return _section("The drive", keys, picture)


def _timeline(report: Report) -> Markup:
    if not report.results:
        return NOTHING
    keys = [("estimate", "position error"), ("bound", "claimed 95 % radius"), ("gnss", "GNSS error")]
    if report.summary["dropped"]:
        keys.append(("dropped", "dropped frame"))
    return _section("Error over time", legend(*keys), error_timeline(report.results))


def _errors(report: Report) -> Markup:
    errors = scored(report.results)
    if not errors:
        return NOTHING
    gnss = [float(value) for value in gnss_errors_m(report.results)]
    distribution = element(
        "figure",
        element("figcaption", "Share of frames within a distance"),
        legend(("estimate", "estimate"), ("gnss", "GNSS")),
        error_distribution([e.position_m for e in errors], gnss),
    )
    coverage = element(
        "figure",
        element("figcaption", "Is the covariance honest?"),
        legend(("estimate", "observed"), ("ideal", "calibrated, 95 % band for independent frames")),
        coverage_chart(errors),
    )
    charts = element("div", distribution, coverage, css="pair")
    tables = error_table(report.summary), recall_line(report.summary)
    return _section("How good, and how honest", charts, *tables)


def _gallery(title: str, frames: Sequence[GalleryFrame], report: Report) -> Markup:
    return _section(title, cards(frames, report.results[0].stamp_ns)) if frames else NOTHING


def _run(report: Report) -> Markup:
    s = report.summary
    facts: dict[str, Any] = {"model": s["model"], "map": s["map"], **report.configuration}
    if s["seed"] is not None:
        facts["seed"] = s["seed"]
    if s["throughput_hz"] is not None:
        facts["throughput"] = f"{s['throughput_hz']:.1f} frames per second"
    lists = (
        definitions("Configuration", facts),
        definitions("Dropped frames", s["dropped"] or {"none": 0}),
        definitions("Versions", s["versions"]),
    )
    return _section("The run", element("div", *lists, css="lists"))


def _section(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), join(*content))
