# SPDX-License-Identifier: Apache-2.0
"""A service's key reaches the service, and nothing else: against a server that repeats it wherever it can."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import traceback
from contextlib import suppress

import numpy as np
import pytest
import server as faults
import yaml
from fetching import ManualClock
from server import FaultServer, png

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError, GeodistillError
from geodistill_core.evaluation.metrics import FrameResult, PoseAnswer, summarize
from geodistill_core.evaluation.report import Report, render_report
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.live import LiveMap
from geodistill_core.maps.remote import RemoteTiles
from geodistill_core.maps.secret import MaskingFilter, Secret
from geodistill_core.maps.spec import SourceSpec, load_source, parse_source
from geodistill_core.types import GeoPoint

# Survives every way of encoding a URL; the whole key does not.
CORE = "K3yOfTheTest"
KEY, ENCODED = f"{CORE}/+=&42 x", f"{CORE}%2F%2B%3D%2642%20x"
HERE = GeoPoint(47.0, 8.0)
FIELDS = {
    "name": "aerial",
    "kind": "xyz",
    "attribution": "tests",
    "terms_url": "own",
    "terms_accepted": True,
    "cache_allowed": True,
    "zooms": [0, 19],
    "key_env": "AERIAL_KEY",
    "allow_private": True,
    "max_connections": 1,
}
LEAKY = {
    "the tile": faults.OK,
    "the tile, marked with the key": faults.reply(png(), ETag=f'"{KEY}"', Last_Modified=KEY, X_Key=KEY),
    "nothing there": faults.status(404, ETag=KEY),
    "forbidden": faults.reply(f"bad key {KEY}".encode(), "text/plain", 403, WWW_Authenticate=KEY),
    "the key as media type": faults.reply(b"", KEY, 200),
    "a page with the key": faults.html(f"<html>{KEY} {ENCODED}</html>"),
    "elsewhere": faults.redirect(f"https://elsewhere.example/{ENCODED}?key={ENCODED}"),
    "in circles": faults.redirect(f"/again?key={ENCODED}"),
    "to a scheme of the key": faults.redirect(f"x-{KEY}://{KEY}"),
    "to no URL": faults.redirect(f"http://[{KEY}"),
    "too many": faults.status(429, Retry_After=KEY),
    "a problem": faults.reply(ENCODED.encode(), "text/plain", 500),
    "a length of the key": faults.status(400, Content_Length=KEY),
    "half": faults.half_body(),
    "nothing": faults.drop(),
}


@pytest.fixture
def log():
    """Everything that any library says, at its most talkative."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield said
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setenv("AERIAL_KEY", KEY)


def everything_on_disk(folder):
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


def report_over(source):
    truth = Truth(HERE.latitude, HERE.longitude, 0.0)
    answer = PoseAnswer(HERE.latitude, HERE.longitude, 0.0, np.eye(3))
    results = [FrameResult(0, truth, answer, (HERE.latitude, HERE.longitude))]
    summary = summarize(results, model="tiny", map_name=source.info().location)
    facts = {"source": repr(source.spec), "map": source.info()}
    return render_report(Report("drive", summary, results, facts, source=source)) + json.dumps(summary)


@pytest.mark.parametrize("fault", LEAKY.values(), ids=LEAKY.keys())
def test_f14_the_key_is_in_no_log_exception_cache_or_report(fault, keyed, log, tmp_path):
    clock = ManualClock()
    with FaultServer(png()) as server:
        server.always(fault)
        file = tmp_path / "aerial.yaml"
        file.write_text(yaml.safe_dump(FIELDS | {"url": f"{server.url}/{{z}}/{{x}}/{{y}}.png?key={{key}}"}))
        spec = load_source(file)
        cache = DiskCache(tmp_path / "cache", 1 << 24)
        fetcher = Fetcher(spec, clock=clock, sleep=clock.sleep)
        source = RemoteTiles(spec, fetcher, cache, clock=clock)
        shown = [repr(part) for part in (spec, fetcher, source, source.__dict__, cache, spec.source_id)]
        for attempt in (
            lambda: source.tile(HERE, 40.0, 0.25),
            lambda: fetcher.get(spec.tile_url(TileAddress(3, 1, 1))),
            lambda: fetcher.get_range(spec.url, 0, 10),
            lambda: LiveMap(source).tile(HERE, 40.0, 0.25),
        ):
            try:
                shown.append(repr(attempt()))
            except GeodistillError as error:
                shown += [repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        shown += [repr(source.health()), repr(fetcher.__dict__), report_over(source)]
        source.close()
        cache.close()
        assert any(f"key={ENCODED}" in path for path in server.paths)
    assert CORE not in log.getvalue()
    assert CORE not in "\n".join(shown)
    assert CORE.encode() not in everything_on_disk(tmp_path)
    assert "/19/" in log.getvalue() or "request" in log.getvalue()


def test_f14_the_key_is_read_when_the_request_is_made(monkeypatch):
    with FaultServer(png()) as server:
        spec = parse_source(FIELDS | {"url": f"{server.url}/{{z}}/{{x}}/{{y}}.png?key={{key}}"}, "test")
        with Fetcher(spec) as fetcher:
            monkeypatch.delenv("AERIAL_KEY", raising=False)
            with pytest.raises(ConfigError, match=r"AERIAL_KEY is not set.*export AERIAL_KEY"):
                fetcher.get(spec.tile_url(TileAddress(3, 1, 1)))
            assert server.paths == []
            for key in ("first", "second"):
                monkeypatch.setenv("AERIAL_KEY", key)
                fetcher.get(spec.tile_url(TileAddress(3, 1, 1)))
        assert server.paths == ["/3/1/1.png?key=first", "/3/1/1.png?key=second"]


@pytest.mark.parametrize("value", ["", "   ", "abc", "key\nHost: elsewhere", "key\x00"])
def test_f14_what_cannot_be_a_key_is_refused_without_being_shown(value, monkeypatch):
    with suppress(ValueError):  # no environment holds a zero
        monkeypatch.setenv("AERIAL_KEY", value)
        with pytest.raises(ConfigError, match="AERIAL_KEY") as found:
            Secret.from_environment("AERIAL_KEY")
        assert not value.strip() or value not in str(found.value)


@pytest.mark.parametrize(
    "change",
    [
        {"url": f"https://tiles.example/{{z}}/{{x}}/{{y}}?key={CORE}"},
        {"url": f"https://tiles.example/{{z}}/{{x}}/{{y}}?Access_Token={CORE}"},
        {"url": f"https://user:{CORE}@tiles.example/{{z}}/{{x}}/{{y}}"},
        {"url": f"https://tiles.example/{{z}}/{{x}}?a={CORE}"},
        {"url": f"https://tiles.example/{{z}}/{{x}}/{{y}}?a={CORE}", "zooms": "all"},
        {"key_env": CORE},
    ],
)
def test_f14_a_key_written_into_the_file_is_not_repeated_by_the_refusal(change):
    fields = {name: value for name, value in FIELDS.items() if name != "key_env"} | change
    with pytest.raises(ConfigError) as found:
        parse_source(fields, "aerial.yaml")
    assert CORE not in "".join(traceback.format_exception(found.value))
    with pytest.raises(ValueError, match="SourceSpec") as raw:
        SourceSpec(**fields)
    assert CORE not in str(raw.value)


def test_f14_a_key_is_not_sent_unencrypted_to_the_world():
    with pytest.raises(ConfigError, match="unencrypted"):
        parse_source(FIELDS | {"allow_private": False, "url": "http://a.example/{z}/{x}/{y}?k={key}"}, "test")


def test_a_secret_shows_itself_to_nobody_who_does_not_ask():
    secret = Secret(KEY)
    assert secret.reveal() == KEY
    assert CORE not in f"{secret} {secret!r} {secret!s:>20} {[secret]} {{'a': secret}}"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars):
        with pytest.raises(TypeError):
            leak(secret)


@pytest.mark.parametrize("form", [KEY, ENCODED, ENCODED.replace("%20", "+"), f"{CORE}/%2B%3D%2642%20x"])
def test_every_way_of_writing_a_key_in_a_url_is_masked(form):
    record = logging.LogRecord("a", logging.INFO, "f", 1, "GET %s -> %d", (f"https://a/?k={form}&z=1", 200), None)
    assert MaskingFilter(Secret(KEY)).filter(record)
    assert record.getMessage() == "GET https://a/?k=***&z=1 -> 200"
