# SPDX-License-Identifier: Apache-2.0
"""Rows R13 and R14 of the reliability plan: reports of any length, and text from recordings that means harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from geodistill_core.cli.main import describe
from geodistill_core.cli.output import Terminal
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import BagError
from geodistill_core.evaluation.comparison.compare import compare
from geodistill_core.evaluation.comparison.paired import Run
from geodistill_core.evaluation.frame_table import read_frames, write_frames
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, summarize
from geodistill_core.evaluation.report import FrameGallery, Report, render_report
from geodistill_core.evaluation.report.compare_page import render_comparison

COVARIANCE = np.diag([0.64, 0.64, 1e-3])
HARM = "<script>alert(1)</script>\"'&</title></style><img src=x onerror=alert(2)>../../etc\x1b[31m\x07\u202e"


class Elements(HTMLParser):
    """Elements and their attributes, and whether they close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.attributes += [name for name, _ in attributes]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    elements = Elements()
    elements.feed(page)
    elements.close()
    assert elements.open == []
    return elements


def frames(count):
    """A drive of a metre a frame; every eleventh frame is dropped, every seventh has no truth."""
    results = []
    for i in range(count):
        truth = Truth(47.0 + 1e-5 * (i % 5000), 8.0, 1.5) if i % 7 else None
        answer = PoseAnswer(47.0 + 1e-5 * (i % 5000) + 1e-6 * (i % 3), 8.0, 1.5, COVARIANCE) if i % 11 else None
        results.append(FrameResult(i * 10**8, truth, answer, (47.0, 8.0), None, None if answer else "no_fix"))
    return results


def page_of(results, **report):
    gallery = FrameGallery()
    for result in results:
        gallery.add(result)
    named = {"title": "Drive", "configuration": {}} | report
    summary = summarize(results, model=named["title"], map_name=named["title"], versions={named["title"]: "1"})
    return render_report(
        Report(named["title"], summary, results, named["configuration"], gallery.sample(), gallery.worst())
    )


@pytest.mark.parametrize("count", [0, 1, 100_000])
def test_r13_a_report_of_no_one_or_a_hundred_thousand_frames_is_whole(count):
    page = page_of(frames(count))
    parsed(page)
    shown = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\b([nN]a[nN]|[iI]nf|None)\b", shown)
    assert f"of {count} frames localized" in page
    assert len(page) < 25_000_000
    # what is shown without the script does not grow with the run
    assert len(shown) < 2_000_000


@pytest.mark.parametrize("only", ["dropped", "without truth", "without answers and truth"])
def test_r13_a_run_without_anything_to_score_is_whole(only):
    answer = PoseAnswer(47.0, 8.0, 0.0, COVARIANCE)
    one = {
        "dropped": FrameResult(0, Truth(47.0, 8.0, 0.0), dropped="no_map"),
        "without truth": FrameResult(0, answer=answer),
        "without answers and truth": FrameResult(0, dropped="no_map"),
    }[only]
    page = page_of([one] * 3)
    parsed(page)
    assert not re.search(r">\s*(nan|None)", page)


def test_r14_harmful_text_stays_text_in_the_report():
    harmful = [FrameResult(i, dropped=HARM, key=HARM) for i in range(3)]
    harmful.append(FrameResult(4, Truth(47.0, 8.0, 0.0), PoseAnswer(47.0, 8.0, 0.0, COVARIANCE, HARM), key=HARM))
    page = page_of(harmful, title=HARM, configuration={HARM: HARM, "camera topic": f"/camera/{HARM}"})
    elements = parsed(page)
    assert elements.seen.count("script") == 2 and elements.seen.count("title") >= 1
    assert not {name for name in elements.attributes if name.startswith("on")}
    assert "\x1b" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    data = re.search(r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)[1]
    assert not set("<>&") & set(data) and json.loads(data)["keys"][0] == HARM


def test_r14_harmful_text_stays_text_in_a_comparison():
    results = [
        FrameResult(i, Truth(47.0, 8.0, 0.0), PoseAnswer(47.0, 8.0, 0.0, COVARIANCE), key=HARM) for i in range(30)
    ]
    worse = [
        FrameResult(i, Truth(47.0, 8.0, 0.0), PoseAnswer(47.00001, 8.0, 0.0, COVARIANCE), key=HARM) for i in range(30)
    ]
    facts = {"title": HARM, "model": HARM, "configuration": {HARM: HARM}, "incomplete": HARM}
    page = render_comparison(compare([Run(HARM, results, facts), Run(HARM, worse, {})]))
    elements = parsed(page)
    assert elements.seen.count("script") == 0 and "img" not in elements.seen and "\x1b" not in page


def test_r14_harmful_keys_survive_the_table_unchanged(tmp_path):
    key = HARM + '\n"a",=cmd|x'
    assert read_frames(write_frames(tmp_path / "frames.csv", [FrameResult(0, dropped=HARM, key=key)]))[0].key == key


def test_r14_the_terminal_gets_no_command_from_a_recording(capsys):
    Terminal(markup=False, force_terminal=True).print(f"topic {HARM}", style="bold")
    said = capsys.readouterr().out
    assert "\x1b[1m" in said and "\x1b[31m" not in said and "\x07" not in said and "\u202e" not in said


def test_r14_an_error_message_gives_the_terminal_no_command():
    for problem in (BagError(f"topic {HARM} is missing"), FileNotFoundError(2, "none", f"/tmp/{HARM}")):
        message, code = describe(problem)
        assert code == 4 and "\x1b" not in message and "<script>" in message
