# SPDX-License-Identifier: Apache-2.0
"""The page of a data set's check: what was found, and samples with their labels drawn."""

from __future__ import annotations

from collections.abc import Sequence

from geodistill_core.datasets.check.overlays import Overlay
from geodistill_core.datasets.check.report import CheckReport, Finding
from geodistill_core.evaluation.report.document import whole_page
from geodistill_core.evaluation.report.images import data_uri, encode_jpeg
from geodistill_core.evaluation.report.markup import Markup, element, join
from geodistill_core.types import Array

VERDICTS = {0: "everything is there", 3: "usable, but not all is there", 4: "not usable"}


def render_data_page(report: CheckReport, samples: Sequence[Overlay]) -> str:
    """One HTML file without scripts, fonts or pictures from elsewhere."""
    title = f"{report.dataset.upper()}: {VERDICTS[report.exit_code]}"
    header = element(
        "header", element("p", "GeoDistill", css="brand"), element("h1", title), element("p", str(report.root))
    )
    content = element(
        "main",
        header,
        _section("Lists", _counts(report)),
        _section("Findings", *(_finding(one) for one in report.findings)) if report.findings else Markup(""),
        _section("Where the labels put the camera", _introduction(report), *(_sample(one) for one in samples)),
        _section("The tree that is expected", element("pre", report.layout)),
    )
    return whole_page(title, content)


def _section(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), join(*content))


def _counts(report: CheckReport) -> Markup:
    head = element("tr", *(element("th", name) for name in ("", "samples", "with every file")))
    rows = (
        element("tr", element("th", one.name), element("td", one.samples), element("td", one.complete))
        for one in report.lists
    )
    return element("table", element("thead", head), element("tbody", *rows), css="counts")


def _finding(one: Finding) -> Markup:
    named = element("small", " · ".join(one.examples)) if one.examples else Markup("")
    return element("p", element("b", one.severity), f"{one.text}: {one.count}", named, css=f"finding {one.severity}")


def _introduction(report: CheckReport) -> Markup:
    text = f"{report.decoded} pictures were decoded. The circle is the label, the arrow 12 m of heading."
    return element("p", text, css="remark")


def _sample(one: Overlay) -> Markup:
    return element(
        "div", _picture(one.tile, one.name), _picture(one.ground, one.name),
        element("p", element("b", one.name), one.facts), css="sample",
    )  # fmt: skip


def _picture(rgb: Array, name: str) -> Markup:
    return element("img", src=data_uri(encode_jpeg(rgb)), alt=name)
