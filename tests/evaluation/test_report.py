# SPDX-License-Identifier: Apache-2.0
"""The report as a file: complete, self-contained, escaped, the same every time, for any number of frames."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from simulated import calibrated_drive, result_off

from geodistill_core.errors import MapError
from geodistill_core.evaluation.metrics import FrameResult, summarize
from geodistill_core.evaluation.report import FrameGallery, Report, render_report
from geodistill_core.evaluation.report.markup import element
from geodistill_core.evaluation.report.svg import linear_axis, log_axis
from geodistill_core.evaluation.report.trajectory import view_of
from geodistill_core.types import MapTile

VOID = {"meta", "img", "input"}


class StripedMap:
    """Imagery whose attribution needs escaping."""

    def tile(self, center, extent_m, metres_per_pixel):
        side = round(extent_m / metres_per_pixel)
        rgb = np.zeros((side, side, 3), np.uint8)
        rgb[:, ::7] = 200
        return MapTile(rgb, np.ones((side, side), bool), center, metres_per_pixel, "k", "A & B <i>survey</i>")


class EmptyMap:
    def tile(self, center, extent_m, metres_per_pixel):
        raise MapError("nothing here")


class Auditor(HTMLParser):
    """Checks nesting and collects tags and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.addresses = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(results, title="Drive", source=None, pictures=False):
    gallery = FrameGallery()
    for result in results:
        rgb = np.full((64, 128, 3), 90, np.uint8) if pictures else None
        gallery.add(result, rgb, (lambda: np.full((64, 64, 3), 200, np.uint8)) if pictures else None)
    summary = summarize(results, model="tiny", map_name="drive.mbtiles", seed=3, versions={"torch": "2"})
    facts = {"prior": "gaussian"}
    return render_report(Report(title, summary, results, facts, gallery.sample(), gallery.worst(), source))


def without_script(text):
    """The page without what only its script reads."""
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def audit(text):
    auditor = Auditor()
    auditor.feed(text)
    auditor.close()
    assert auditor.open == []
    return auditor


@pytest.mark.parametrize("count", [0, 1, 2, 130, 3000])
def test_a_report_of_any_number_of_frames_is_well_formed(count):
    text = page(calibrated_drive(count, drop_every=9), source=StripedMap(), pictures=count <= 130)
    audit(text)
    shown = without_script(text)
    assert "NaN" not in shown and "None" not in shown and "nan" not in shown
    assert f"{count - count // 9} of {count} frames localized" in text


def test_nothing_in_the_report_points_outside_of_it():
    auditor = audit(page(calibrated_drive(30), source=StripedMap(), pictures=True))
    assert auditor.addresses and all(address.startswith("data:image/jpeg;base64,") for address in auditor.addresses)
    assert not auditor.tags & {"link", "iframe", "object", "base", "form"}
    css = page([]).split("<style>")[1].split("</style>")[0]
    assert "url(" not in css and "@import" not in css


def test_the_policy_of_the_page_allows_its_own_script_and_no_network():
    text = page(calibrated_drive(5))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#x27;", "'")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and policy.startswith("default-src 'none';")
    assert "http:" not in policy and "https:" not in policy and "*" not in policy


def test_text_from_outside_is_escaped_everywhere():
    evil = "<script>alert('x')</script>\"&"
    result = FrameResult(0, dropped=evil)
    text = render_report(
        Report(
            evil,
            summarize([result], model=evil, map_name=evil, versions={evil: evil}),
            [result],
            {evil: evil},
            [g for g in _gallery(result).sample()],
        )
    )
    audit(text)
    # the script and its data, and no third one
    assert text.count("<script") == 2 and text.count("</script>") == 2
    assert text.count("&lt;script&gt;") >= 8


def _gallery(result):
    gallery = FrameGallery()
    gallery.add(result, None, None)
    return gallery


def test_the_attribution_of_the_imagery_is_in_the_picture():
    assert "A &amp; B &lt;i&gt;survey&lt;/i&gt;</text>" in page(calibrated_drive(10), source=StripedMap())


def test_a_map_without_imagery_leaves_the_trajectory_on_plain_ground():
    text = page(calibrated_drive(10), source=EmptyMap())
    assert 'class="trajectory"' in text and "<image" not in text


def test_the_same_run_gives_the_same_bytes():
    results = calibrated_drive(40, drop_every=6)
    assert page(results, source=StripedMap(), pictures=True) == page(results, source=StripedMap(), pictures=True)


def test_key_figures_are_those_of_the_summary():
    results = calibrated_drive(50)
    summary = summarize(results, model="tiny", map_name="m")
    text = page(results)
    assert f"<strong>{summary['position_error_m']['median']:.2f} m</strong>" in text
    assert f"<strong>{100 * summary['coverage']['0.95']:.0f} %</strong>" in text


def test_dropped_frames_show_their_reason_in_the_chart_and_the_list():
    text = page(calibrated_drive(20, drop_every=5))
    assert len(re.findall(r'class="tick dropped"', text)) == 4
    assert "<th>no_fix</th><td>4</td><td>20.0 %</td>" in text


def test_the_view_holds_truth_and_answers_within_its_borders():
    results = calibrated_drive(60)
    view = view_of(results)
    width, height = view.size
    assert max(width, height) == 1024
    for result in results:
        x, y = view.pixels(np.array([result.truth.latitude, result.truth.longitude]))[0]
        assert 0 < x < width and 0 < y < height


def test_the_gallery_keeps_an_even_sample_and_the_worst_frames():
    gallery = FrameGallery(sample=6, worst=3)
    drawn = []
    for i in range(1000):
        result = result_off(50.0 + i / 1000 if i in (123, 456, 789) else 0.1, 0.0)
        gallery.add(FrameResult(i, result.truth, result.answer), None, lambda i=i: drawn.append(i) or _dot())
    stamps = [frame.result.stamp_ns for frame in gallery.sample()]
    gaps = np.diff(stamps)
    assert len(stamps) == 6 and stamps[0] == 0
    assert gaps.max() <= 2 * gaps.min() and stamps[-1] + gaps.max() >= 1000
    assert [frame.result.stamp_ns for frame in gallery.worst()] == [789, 456, 123]
    assert len(drawn) < 80  # pictures are drawn for kept frames only


def _dot():
    return np.zeros((16, 16, 3), np.uint8)


def test_elements_escape_children_and_attributes():
    assert element("p", "<b>", css='x"y', data_tip="&") == '<p class="x&quot;y" data-tip="&amp;">&lt;b&gt;</p>'
    assert element("div", element("i", "a")) == "<div><i>a</i></div>"


def test_axes_have_round_ticks_inside_their_range():
    assert linear_axis(0.0, 51.6, "t").ticks == (0, 20, 40)
    assert linear_axis(0.0, 1.0, "t").ticks == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1.0))
    assert linear_axis(3.0, 3.0, "t").share(3.0) == 0.0
    axis = log_axis(0.03, 20.0, "e")
    assert axis.ticks == pytest.approx((0.03, 0.1, 0.3, 1, 3, 10))
    assert axis.share(0.03) == 0.0 and axis.share(20.0) == 1.0 and axis.share(0.0) == 0.0
