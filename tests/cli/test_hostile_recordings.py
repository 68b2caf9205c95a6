# SPDX-License-Identifier: Apache-2.0
"""Row R14 of the reliability plan: a recording whose topics are named to do harm, through every verb that reads it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from geodistill_core.bags.source import open_bag
from geodistill_core.bags.writer import BagWriter

HARM = "<script>alert(1)</script>[/red][bold]\x1b[31m\x07\u202e../../etc"


@pytest.fixture(scope="module")
def hostile(drive, tmp_path_factory):
    """The drive with every camera topic, and one topic more, under a harmful name."""
    path = tmp_path_factory.mktemp("hostile") / "drive.mcap"
    source = open_bag(drive.bag)
    names = {topic: f"{topic}/{HARM}" if "camera" in topic or "image" in topic else topic for topic in source.topics}
    assert any(HARM in name for name in names.values())
    with BagWriter(path) as writer:
        for topic, facts in source.topics.items():
            writer.add_topic(names[topic], facts.msgtype, latched=topic == "/tf_static")
        for raw in source.messages(list(source.topics)):
            writer.write_cdr(names[raw.topic], raw.cdr, raw.log_ns)
    return path


def harmless(text):
    return not set("\x1b\x07\u202e") & set(text)


def test_r14_bag_info_shows_harmful_names_as_text(geodistill, hostile):
    ran = geodistill("bag", "info", hostile)
    assert ran.code in (0, 3) and harmless(ran.out + ran.err)
    assert "<script>alert(1)</script>[/red][bold]" in ran.out
    found = json.loads(geodistill("bag", "info", hostile, "--json", "-").out)
    assert HARM in json.dumps(found, ensure_ascii=False).replace("\\u001b", "\x1b").replace("\\u0007", "\x07")


def test_r14_a_replay_of_harmful_names_leaves_a_harmless_report(geodistill, hostile, drive, checkpoint, tmp_path):
    ran = geodistill("replay", hostile, "--map", drive.map, "--model", checkpoint, "-o", tmp_path / "run")
    assert ran.code in (0, 3) and harmless(ran.out + ran.err)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, _: tags.append(tag)
    parser.feed(page)
    assert tags.count("script") == 2 and harmless(page)
    named = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["configuration"].values()
    assert any(str(value).endswith(HARM) for value in named)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_r14_an_error_that_lists_harmful_topics_is_one_harmless_line(geodistill, hostile, drive):
    ran = geodistill("replay", hostile, "--map", drive.map, "--topic", "image=/absent")
    assert ran.code == 2 and harmless(ran.err) and ran.err.count("\n") == 1
    assert "<script>alert(1)</script>" in ran.err
