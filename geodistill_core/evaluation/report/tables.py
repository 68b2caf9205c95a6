# SPDX-License-Identifier: Apache-2.0
"""Figures, tables and lists of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geodistill_core.evaluation.metrics import bias_text
from geodistill_core.evaluation.report.markup import Markup, element, number, percent

COLUMNS = ("mean", "median", "p90", "p95", "max")
ERROR_ROWS = (
    ("position_error_m", "Position", " m"),
    ("lateral_error_m", "Lateral", " m"),
    ("longitudinal_error_m", "Longitudinal", " m"),
    ("yaw_error_deg", "Yaw", "°"),
    ("gnss_error_m", "GNSS alone", " m"),
)


def key_figures(summary: Mapping[str, Any]) -> Markup:
    """The row of large numbers under the title."""
    position, yaw, nees = summary["position_error_m"], summary["yaw_error_deg"], summary["nees"]
    rows = [
        ("Median position error", number(position["median"], " m"), _against_gnss(summary)),
        ("90 % of frames within", number(position["p90"], " m"), f"worst {number(position['max'], ' m')}"),
        ("Median yaw error", number(yaw["median"], "°"), f"90 % within {number(yaw['p90'], '°')}"),
        (
            "Inside the 95 % ellipse",
            percent(summary["coverage"]["0.95"]),
            f"NEES {number(nees['mean'])}, ideal {nees['dof']}",
        ),
    ]
    latency = summary["latency_ms"]
    if latency["p50"] is not None:
        rows.append(("Median latency", f"{latency['p50']:.0f} ms", f"99 % within {latency['p99']:.0f} ms"))
    tiles = (
        element("div", element("span", name), element("strong", value), element("small", note), css="figure")
        for name, value, note in rows
    )
    return element("section", *tiles, css="figures")


def _against_gnss(summary: Mapping[str, Any]) -> str:
    ours, gnss = summary["position_error_m"]["median"], summary["gnss_error_m"]["median"]
    if gnss is None:
        return "no GNSS to compare"
    return f"GNSS {gnss:.2f} m" + (f" (× {gnss / ours:.1f})" if ours else "")


def error_table(summary: Mapping[str, Any]) -> Markup:
    """Mean, median, quantiles and maximum of every error."""
    head = element("tr", element("th"), *(element("th", name) for name in COLUMNS))
    rows = (
        element(
            "tr",
            element("th", name),
            *(element("td", number(summary[key][column], unit)) for column in COLUMNS),
        )
        for key, name, unit in ERROR_ROWS
    )
    return element("table", element("thead", head), element("tbody", *rows))


def recall_line(summary: Mapping[str, Any]) -> Markup:
    """Share of frames within each distance, in one sentence."""
    recall = summary["recall"]
    metres = [f"{percent(recall[key])} within {key[:-1]} m" for key in recall if not key.endswith("deg")]
    degrees = [f"{percent(recall[key])} within {key[:-3]}°" for key in recall if key.endswith("deg")]
    return element("p", " · ".join(metres + degrees), css="remark")


def bias_line(summary: Mapping[str, Any]) -> Markup:
    """Where the answers lie in the median, and what that may come from."""
    text = (
        f"Bias {bias_text(summary['position_bias_m'])}. One that keeps its compass direction while the vehicle turns "
        "is the imagery's own; one that turns with the vehicle is the camera's mounting."
    )
    return element("p", text, css="remark")


def definitions(title: str, entries: Mapping[str, Any]) -> Markup:
    """A titled list of names and values."""
    rows = (element("dt", key) + element("dd", value) for key, value in entries.items())
    return element("div", element("h3", title), element("dl", *(Markup(row) for row in rows)))


def legend(*entries: tuple[str, str]) -> Markup:
    """Colour keys: (style class, text)."""
    items = (element("span", element("i", css=f"key {name}"), text) for name, text in entries)
    return element("p", *items, css="legend")
