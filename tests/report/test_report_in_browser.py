# SPDX-License-Identifier: Apache-2.0
"""The report as a person meets it: opened in a browser, offline, and clicked through."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from browser import CHROMIUM, Page
from large_drive import long_drive, page_of

from geodistill_core.evaluation.metrics import frame_errors

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium or google-chrome")

FRAMES = 10_000
LIMIT_BYTES = 25_000_000


@pytest.fixture(scope="module")
def run():
    return long_drive(FRAMES)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    text, _ = page_of(run, title="<img src=x onerror=alert(1)> drive")
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    with Page(path.as_uri(), folder / "profile") as opened:
        opened.path = path
        yield opened


def error_m(result):
    return frame_errors(result.answer, result.truth).position_m


def shown(page):
    return int(page.value("document.getElementById('scrubber').dataset.frame"))


def test_ten_thousand_frames_stay_below_25_megabytes(page):
    assert 5_000_000 < page.path.stat().st_size < LIMIT_BYTES


def test_next_and_previous_step_through_the_frames_and_their_pictures(page, run):
    page.choose("#order", "time")
    first = page.value("document.querySelector('#stage .tile').getAttribute('href')")
    page.click("#next")
    assert shown(page) == 1
    facts = page.facts()
    assert facts["frame"] == "2 of 10000, 0.1 s" and facts["status"] == "ok"
    assert facts["position error"] == f"{error_m(run[1]):.2f} m"
    assert facts["speed"] == "10.0 m/s" and facts["confidence"] == "0.21"
    assert page.text("#ground-note") == "nearest kept picture: frame 1"
    assert page.value("document.querySelector('#stage .tile').getAttribute('href')") == first
    page.click("#previous")
    assert shown(page) == 0 and page.text("#ground-note") == ""
    assert page.value("document.getElementById('ground').naturalWidth") == 400
    assert page.value("document.querySelectorAll('#stage .heat').length") == 1


def test_a_click_on_the_slider_leads_into_the_drive(page):
    page.choose("#order", "time")
    page.click("#slider", across=0.5)
    assert abs(shown(page) - FRAMES / 2) < FRAMES / 50
    ring = [float(page.value(f"document.querySelector('.here').getAttribute('{name}')")) for name in ("cx", "cy")]
    assert 0 < ring[0] < 1024 and 0 < ring[1] < 1024


def test_worst_first_begins_with_the_largest_error(page, run):
    page.choose("#order", "worst")
    largest = max((r for r in run if r.answer), key=error_m)
    assert shown(page) == run.index(largest)
    assert page.facts()["position error"] == f"{error_m(largest):.2f} m"
    # the gallery has kept the worst frames' own pictures
    assert page.text("#ground-note") == ""


def test_dropped_frames_say_why(page):
    page.choose("#order", "dropped")
    assert shown(page) == 49 and page.facts()["status"] == "dropped: no_fix"
    assert page.value("document.getElementById('slider').max") == str(FRAMES // 50 - 1)


def test_a_click_on_the_timeline_leads_to_that_time(page):
    page.click("#timeline", across=0.75, down=0.2)
    # the axis runs from 52 to 946 of 960 units, over 999.9 s
    expected = (0.75 * 960 - 52) / (946 - 52) * (FRAMES - 1)
    assert abs(shown(page) - expected) < 20
    assert page.value("document.getElementById('order').value") == "time"


def test_a_click_on_a_card_leads_to_its_frame(page, run):
    page.choose("#order", "time")
    page.click(".card")
    assert shown(page) == run.index(max((r for r in run if r.answer), key=error_m))


def test_the_truth_is_drawn_where_it_is_and_the_ellipse_as_it_is_claimed(page, run):
    page.choose("#order", "time")
    truth = page.value("['cx','cy'].map(n => +document.querySelector('#stage circle.truth').getAttribute(n))")
    errors = frame_errors(run[0].answer, run[0].truth)
    assert truth == pytest.approx([-errors.east_m, errors.north_m], abs=1e-3)
    axes = page.value("['rx','ry'].map(n => +document.querySelector('#stage .ellipse').getAttribute(n))")
    # 0.8 m times the root of 5.991, the 95 % quantile of chi-square with two degrees of freedom
    assert axes == pytest.approx([1.958, 1.958], abs=1e-3)


def test_the_heat_map_can_be_taken_away(page):
    page.choose("#order", "time")
    page.click("#heat")
    assert page.value("document.querySelectorAll('#stage .heat').length") == 0
    page.click("#heat")
    assert page.value("document.querySelectorAll('#stage .heat').length") == 1


def test_the_page_has_spoken_to_nobody_and_complained_of_nothing(page):
    page.value("window.scrollTo(0, document.body.scrollHeight)")
    assert page.text("h1") == "<img src=x onerror=alert(1)> drive"
    if folder := os.environ.get("GEODISTILL_SCREENSHOTS"):
        page.click("#next")
        page.screenshot(Path(folder) / "scrubber.png")
    assert page.requests == [] and page.problems == []


def test_the_policy_keeps_even_the_page_itself_from_the_network(page):
    refused = page.value(
        "fetch('http://192.0.2.1/').then(() => 'went out', e => 'refused')"
        ".then(said => said + ' ' + performance.getEntriesByType('resource').length)"
    )
    said = [json.loads(problem) for problem in page.problems]
    assert refused == "refused 0" and any("Content Security Policy" in json.dumps(one) for one in said)
    page.problems.clear()
