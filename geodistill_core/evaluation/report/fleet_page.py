# SPDX-License-Identifier: Apache-2.0
"""The page of many drives: all frames together, each drive beside the others, a link to each drive's own page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from geodistill_core.evaluation.report.columns import columns_of
from geodistill_core.evaluation.report.document import whole_page
from geodistill_core.evaluation.report.markup import Markup, element, number, percent
from geodistill_core.evaluation.report.page import Report, errors_section, honesty_section, run_section, section
from geodistill_core.evaluation.report.tables import key_figures

COLUMNS = ("", "frames", "median", "90 %", "max", "yaw", "GNSS", "in 95 % ellipse")


def render_fleet_page(report: Report) -> str:
    """The page as text; the same report gives the same bytes.

    The summary is a fleet's: it has `drives` (metrics by name) and `failed` (reasons by name) beside the figures of
    all frames together.
    """
    s, columns = report.summary, columns_of(report.results)
    content = element(
        "main",
        _header(report),
        key_figures(s),
        _failed(s["failed"]),
        section("Drives, the worst first", drives_table(s["drives"])) if s["drives"] else Markup(""),
        errors_section(report, columns),
        honesty_section(columns, s),
        run_section(report, columns),
    )
    return whole_page(report.title, content)


def _header(report: Report) -> Markup:
    s = report.summary
    facts = [f"{s['frames_localized']} of {s['frames']} frames localized", f"model {s['model']}", f"map {s['map']}"]
    if "incomplete" in s:
        facts.append(s["incomplete"])
    brand = element("p", "GeoDistill", css="brand")
    return element("header", brand, element("h1", report.title), element("p", " · ".join(facts)))


def drives_table(drives: Mapping[str, Mapping[str, Any]]) -> Markup:
    """A row for each drive by falling median error, with a link to its page; drives that cannot be scored last."""
    head = element("tr", *(element("th", name) for name in COLUMNS))
    ordered = sorted(drives, key=lambda name: (-(drives[name]["position_error_m"]["median"] or -1.0), name))
    rows = (_drive_row(name, drives[name]) for name in ordered)
    return element("table", element("thead", head), element("tbody", *rows), css="counts")


def _drive_row(name: str, metrics: Mapping[str, Any]) -> Markup:
    position = metrics["position_error_m"]
    cells = (
        f"{metrics['frames_localized']} of {metrics['frames']}",
        *(number(position[key], " m") for key in ("median", "p90", "max")),
        number(metrics["yaw_error_deg"]["median"], "°"),
        number(metrics["gnss_error_m"]["median"], " m"),
        percent(metrics["coverage"]["0.95"]),
    )
    link = element("a", name, href=f"drives/{quote(name)}/report.html")
    return element("tr", element("th", link), *(element("td", cell) for cell in cells))


def _failed(failed: Mapping[str, str]) -> Markup:
    if not failed:
        return Markup("")
    lines = (
        element("p", element("b", name), problem, css="finding broken") for name, problem in sorted(failed.items())
    )
    return section("Drives that could not be run", *lines)
