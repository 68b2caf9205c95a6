# SPDX-License-Identifier: Apache-2.0
"""The page of a comparison: the verdict in a word, then everything it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from geodistill_core.evaluation.comparison.compare import Comparison
from geodistill_core.evaluation.comparison.paired import Pairs
from geodistill_core.evaluation.report.charts import FLOOR_M, distributions
from geodistill_core.evaluation.report.document import whole_page
from geodistill_core.evaluation.report.markup import Markup, element, join
from geodistill_core.evaluation.report.svg import Chart, log_axis
from geodistill_core.evaluation.report.tables import legend

COLOURS = 6
CELLS = 40
ROWS = {
    "position_error_m": ("Position", " m", 1.0),
    "lateral_error_m": ("Lateral", " m", 1.0),
    "longitudinal_error_m": ("Longitudinal", " m", 1.0),
    "yaw_error_deg": ("Yaw", "°", 1.0),
    "recall": ("Within", " %", 100.0),
    "localized": ("Localized", " %", 100.0),
}
INTERVAL_WIDTH, INTERVAL_HEIGHT = 170, 16
NOTHING = Markup("")


def render_comparison(comparison: Comparison) -> str:
    """The page as text; the same comparison gives the same bytes."""
    s = comparison.summary
    title = f"{' and '.join(one['name'] for one in s['comparisons'])} against {s['baseline']}"
    brand = element("p", "GeoDistill", css="brand")
    content = element(
        "main",
        element("header", brand, element("h1", title), element("p", _method(s))),
        *(_verdict(one) for one in s["comparisons"]),
        _section("Errors side by side", *_distributions(comparison)),
        *(_details(one, pairs) for one, pairs in zip(s["comparisons"], comparison.pairs, strict=True)),
        _section("The runs", _runs(s["runs"])),
    )
    return whole_page(title, content)


def _method(s: Mapping[str, Any]) -> str:
    return (
        "Frame by frame, on the frames that both runs localized. The verdicts' intervals hold together with "
        f"{100 * s['confidence']:g} % ({100 * s['level']:.2f} % each); {s['replicates']} block-bootstrap replicates "
        "within each drive or city. They speak of these drives and places, not of others."
    )


def _verdict(one: Mapping[str, Any]) -> Markup:
    lost = [
        f"{one[key]} frames are in the {name} alone and do not count."
        for key, name in (("only_baseline", "baseline"), ("only_this", "new run"))
        if one[key]
    ]
    facts = f"{one['pairs']} frames in both, {one['pairs_scored']} of them scored in both."
    return element(
        "div",
        element("strong", f"{one['name']}: {one['verdict']}"),
        element("p", one["because"]),
        element("p", " ".join([facts, *lost]), css="remark"),
        css=f"verdict {one['verdict']}",
    )


def _distributions(comparison: Comparison) -> Iterable[Markup]:
    names = [comparison.summary["baseline"], *(one["name"] for one in comparison.summary["comparisons"])]
    errors = [comparison.pairs[0].baseline, *(pairs.other for pairs in comparison.pairs)]
    known = [column["position_error_m"][np.isfinite(column["position_error_m"])].tolist() for column in errors]
    classes = [f"run{number % COLOURS}" for number in range(len(names))]
    yield legend(*zip(classes, names, strict=True))
    yield element(
        "div",
        element(
            "figure",
            element("figcaption", "Share of frames within a distance"),
            distributions(list(zip(classes, known, strict=True))),
        ),
        *(_against_each_other(name, pairs) for name, pairs in zip(names[1:], comparison.pairs, strict=True)),
        css="pair",
    )


def _against_each_other(name: str, pairs: Pairs) -> Markup:
    """Frames counted over the error of both runs; below the diagonal the new one is better."""
    both = np.stack([side["position_error_m"] for side in (pairs.baseline, pairs.other)], axis=1)
    both = both[np.isfinite(both).all(axis=1)]
    high = max(1.0, float(both.max(initial=0.0))) * 1.15
    x, y = log_axis(FLOOR_M, high, "baseline error (m)"), log_axis(FLOOR_M, high, f"error of {name} (m)")
    chart = Chart(x, y, f"Errors of {name} against the baseline", 470, 320)
    edges = np.geomspace(FLOOR_M, high, CELLS + 1)
    base, this = np.clip(both, FLOOR_M, high).T
    counts = np.histogram2d(base, this, bins=(edges, edges))[0].astype(int)
    peak = math.log1p(counts.max(initial=1))
    lows, highs = edges[:-1].tolist(), edges[1:].tolist()
    cells = [
        (lows[i], lows[j], highs[i], highs[j], 0.25 + 0.75 * math.log1p(counts[i, j]) / peak, f"{counts[i, j]} frames")
        for i, j in np.argwhere(counts).tolist()
    ]
    chart.cells(cells, "estimate")
    chart.line([(FLOOR_M, FLOOR_M), (high, high)], "ideal")
    return element("figure", element("figcaption", f"{name}: better below the diagonal"), chart.render())


def _details(one: Mapping[str, Any], pairs: Pairs) -> Markup:
    parts = [_figures(one["figures"])]
    if len(one["groups"]) > 1:
        parts += [element("h3", "Drive by drive, city by city: mean position error"), _groups(one["groups"])]
    for key, title in (("worse", "Frames that became worse"), ("better", "Frames that became better")):
        if one["frames"][key]:
            parts += [element("h3", title), _frames(one["frames"][key])]
    if one["differs"]:
        parts += [element("h3", "What is different"), _differs(one["differs"])]
    return _section(f"{one['name']} against the baseline", *parts)


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = []
    for measure, (title, unit, scale) in ROWS.items():
        entries = figures.get(measure, {})
        reach = max((abs(one[end]) for one in entries.values() for end in ("low", "high")), default=0.0)
        for statistic, one in entries.items():
            name = title if measure == "localized" else f"{title} {statistic.replace('deg', '°')}"
            rows.append(element("tr", element("th", name), *_cells(one, unit, scale, reach)))
    return _table(("", "baseline", "this", "difference", "between", "", ""), rows)


def _cells(one: Mapping[str, Any], unit: str, scale: float, reach: float) -> Iterable[Markup]:
    for key in ("baseline", "this"):
        yield element("td", f"{scale * one[key]:.2f}{unit}")
    digits = 3 if scale == 1.0 else 1
    yield element("td", f"{scale * one['difference']:+.{digits}f}{unit}")
    yield element("td", f"{scale * one['low']:+.{digits}f} … {scale * one['high']:+.{digits}f}")
    yield element("td", _interval(one, reach))
    yield element("td", one["verdict"], css=one["verdict"])


def _interval(one: Mapping[str, Any], reach: float) -> Markup:
    middle = INTERVAL_WIDTH / 2
    low, high = (middle + (middle - 6.0) * one[end] / (reach or 1.0) for end in ("low", "high"))
    height = INTERVAL_HEIGHT / 2
    return element(
        "svg",
        element("line", css="zero", x1=middle, x2=middle, y1=0, y2=INTERVAL_HEIGHT),
        element("line", css=one["verdict"], x1=low, x2=max(high, low + 1.0), y1=height, y2=height),
        css="interval",
        viewBox=f"0 0 {INTERVAL_WIDTH} {INTERVAL_HEIGHT}",
        role="img",
        aria_label=f"between {one['low']:+.3f} and {one['high']:+.3f}",
    )


def _groups(groups: Sequence[Mapping[str, Any]]) -> Markup:
    reach = max((abs(one[end]) for one in groups if "low" in one for end in ("low", "high")), default=0.0)
    rows = []
    for one in groups:
        cells: list[Markup] = [element("td", one["pairs"])]
        if "low" in one:
            cells += [
                element("td", f"{one['difference']:+.3f} m"),
                element("td", f"{one['low']:+.3f} … {one['high']:+.3f}"),
                element("td", _interval(one, reach)),
                element("td", one["verdict"], css=one["verdict"]),
            ]
        rows.append(element("tr", element("th", one["name"]), *cells))
    return _table(("", "frames", "difference", "between, each 95 %", "", ""), rows)


def _frames(frames: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        element(
            "tr",
            element("th", one["key"] or f"{one['stamp_ns'] / 1e9:.3f} s"),
            *(
                element("td", f"{one[key]:{sign}.2f} m")
                for key, sign in (("baseline", ""), ("this", ""), ("difference", "+"))
            ),
        )
        for one in frames
    ]
    return _table(("", "baseline", "this", "difference"), rows)


def _differs(differs: Mapping[str, Sequence[Any]]) -> Markup:
    rows = [
        element("tr", element("th", name), *(element("td", "–" if one is None else one) for one in values))
        for name, values in differs.items()
    ]
    return _table(("", "baseline", "this"), rows, "plain left")


def _runs(runs: Sequence[Mapping[str, Any]]) -> Markup:
    keys = ("title", "model", "map", "frames", "frames_localized", "incomplete")
    rows = [
        element(
            "tr", element("th", run["name"]), *(element("td", "–" if run[key] is None else run[key]) for key in keys)
        )
        for run in runs
    ]
    return _table(("", *(key.replace("_", " ") for key in keys)), rows, "plain left")


def _table(head: Sequence[str], rows: Sequence[Markup], css: str = "plain") -> Markup:
    titles = element("tr", *(element("th", name) for name in head))
    return element("table", element("thead", titles), element("tbody", *rows), css=css)


def _section(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), join(*content))
