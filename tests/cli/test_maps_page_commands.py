# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/maps.md runs as printed, its service replaced by a server on loopback."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from geodistill_core import DriveWriter, GeoPoint, forward_optical_mount
from tests.maps.server import FaultServer, png

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "maps.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^geodistill (map (?:fetch|info|preset) .+)$", PAGE, re.MULTILINE)
ROUTE = "<gpx><trk><trkseg><trkpt lat='47.376' lon='8.540'/><trkpt lat='47.377' lon='8.541'/></trkseg></trk></gpx>"


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """A folder with the files that the page's commands name; any tile of the service is the same green one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("tour.gpx").write_text(ROUTE)
    with DriveWriter("drive.mcap", forward_optical_mount(1.4)) as drive:
        drive.fix(10**9, GeoPoint(47.376, 8.540), sigma_m=5.0)
        drive.fix(2 * 10**9, GeoPoint(47.3761, 8.540), sigma_m=5.0)
    with FaultServer(png()) as server:
        terms = {"attribution": "tests", "terms_url": "own", "terms_accepted": True, "cache_allowed": True}
        service = {"name": "loopback", "kind": "xyz", "url": server.url + "/{z}/{x}/{y}.png", "zooms": [7, 20]}
        Path("switzerland.yaml").write_text(yaml.safe_dump(service | terms | {"allow_private": True}))
        yield tmp_path


def test_every_command_of_the_page_runs(geodistill, at_home):
    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        words = shlex.split(command.partition(">")[0])
        ran = geodistill(*words)
        assert ran.code == 0, (command, ran.err)
    assert all((at_home / name).exists() for name in ("zurich.mbtiles", "tour.mbtiles", "drive.mbtiles", "holes.png"))
