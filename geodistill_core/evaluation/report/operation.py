# SPDX-License-Identifier: Apache-2.0
"""How the run went: latency, and what was dropped for which reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from geodistill_core.evaluation.report.columns import Columns
from geodistill_core.evaluation.report.markup import Markup, element
from geodistill_core.evaluation.report.svg import Chart, linear_axis

BINS = 40
QUANTILES = (50, 90, 99)


def latency_figure(columns: Columns) -> Markup | None:
    """How long the frames took, as a histogram up to the 99.5 % quantile; None where nobody measured."""
    latency = columns.latency_ms[np.isfinite(columns.latency_ms)]
    if not len(latency):
        return None
    top = max(float(np.percentile(latency, 99.5)), 1e-3)
    counts, edges = np.histogram(np.minimum(latency, top), bins=BINS, range=(0.0, top))
    share = counts / len(latency)
    chart = Chart(
        linear_axis(0.0, top, "latency (ms)"),
        linear_axis(0.0, float(share.max()), "share of frames"),
        "Latency",
        470,
        260,
    )
    chart.cells(
        (
            (float(edges[i]), 0.0, float(edges[i + 1]), float(share[i]), 0.8, f"{edges[i]:.1f} ms: {counts[i]} frames")
            for i in np.flatnonzero(counts)
        ),
        "estimate",
    )
    for q, value in zip(QUANTILES, np.percentile(latency, QUANTILES), strict=True):
        chart.ticks_below([(float(value), f"{q} % within {value:.1f} ms")], "dropped")
    said = ", ".join(f"{q} % within {np.percentile(latency, q):.1f} ms" for q in QUANTILES)
    return element("figure", element("figcaption", f"Latency: {said}"), chart.render())


def drops_table(summary: Mapping[str, Any]) -> Markup:
    """Every recorded frame accounted for: localized, or dropped for a reason."""
    frames = int(summary["frames"])
    dropped = sorted(summary["dropped"].items())
    rows = [("localized", summary["frames_localized"]), *dropped, ("frames in the recording", frames)]
    head = element("tr", *(element("th", name) for name in ("", "frames", "share")))
    body = (
        element("tr", element("th", name), element("td", count), element("td", _share(count, frames)))
        for name, count in rows
    )
    return element("table", element("thead", head), element("tbody", *body), css="plain")


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "–"
