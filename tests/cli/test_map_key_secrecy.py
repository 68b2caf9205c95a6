# SPDX-License-Identifier: Apache-2.0
"""A service's key from the command line: it reaches the service, and nothing that a command prints or leaves behind."""

from __future__ import annotations

import json

import pytest
import yaml

from geodistill_core.maps import open_map
from geodistill_core.maps.serve import MapSite
from tests.maps.server import FaultServer, reply

CORE = "K3yOfTheTest"
KEY = f"{CORE}/+=&42 x"


@pytest.fixture(scope="module")
def server(drive):
    with open_map(drive.map) as source, FaultServer(MapSite(source)) as running:
        yield running


@pytest.fixture
def service(server, drive, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CITY_KEY", KEY)
    with open_map(drive.map) as source:
        zooms = source.info().zooms
    fields = {
        "name": "city",
        "kind": "xyz",
        "url": f"{server.url}/{{z}}/{{x}}/{{y}}.png?key={{key}}",
        "key_env": "CITY_KEY",
        "zooms": [zooms[0], zooms[-1]],
        "attribution": "nobody",
        "terms_url": "own",
        "terms_accepted": True,
        "cache_allowed": True,
        "allow_private": True,
    }
    (tmp_path / "city.yaml").write_text(yaml.safe_dump(fields))
    server.clear()
    server.always(lambda request, answer, running: answer(request))
    yield tmp_path / "city.yaml"
    assert server.paths and all(f"key={CORE}" in path for path in server.paths)


def left_behind(folder):
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


def box(path):
    with open_map(path) as source:
        center = source.bounds().center
    return f"{center.longitude - 2e-4},{center.latitude - 2e-4},{center.longitude + 2e-4},{center.latitude + 2e-4}"


def test_f14_a_fetched_area_does_not_hold_the_key(geodistill, service, drive, tmp_path):
    wanted = ("--source", service, "--bbox", box(drive.map), "-o", tmp_path / "area.mbtiles")
    ran = geodistill("map", "fetch", *wanted, "--json", tmp_path / "facts.json")
    assert ran.code == 0, ran.err
    info = geodistill("map", "info", tmp_path / "area.mbtiles")
    assert CORE not in ran.out + ran.err + info.out + info.err
    assert (tmp_path / "area.mbtiles").stat().st_size > 10_000 and CORE.encode() not in left_behind(tmp_path)


def test_f14_a_refused_key_is_named_by_its_variable_and_not_shown(geodistill, service, server, drive, tmp_path):
    server.always(reply(f"unknown key {KEY}".encode(), "text/plain", 403, X_Key=KEY))
    wanted = ("--source", service, "--bbox", box(drive.map), "-o", tmp_path / "area.mbtiles")
    ran = geodistill("map", "fetch", *wanted)
    assert ran.code in (3, 4) and CORE not in ran.out + ran.err
    assert CORE.encode() not in left_behind(tmp_path)


def test_f14_a_replay_over_a_service_leaves_no_key_in_its_report(geodistill, service, drive, checkpoint, tmp_path):
    wanted = ("--map", service, "--model", checkpoint, "-o", tmp_path / "run")
    ran = geodistill("replay", drive.bag, *wanted)
    assert ran.code == 0, ran.err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["frames_localized"] == 8 and (tmp_path / "run" / "report.html").exists()
    assert CORE not in ran.out + ran.err and CORE.encode() not in left_behind(tmp_path)
