# SPDX-License-Identifier: Apache-2.0
"""`geodistill map serve` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

from geodistill_core.geometry import mercator
from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.types import GeoPoint


@pytest.fixture
def city(tmp_path):
    raster = RasterSource(np.full((400, 400, 3), 50, np.uint8), GeoPoint(47.0, 8.0), 0.1)
    write_mbtiles(tmp_path / "city.mbtiles", raster, raster.bounds(), 20, attribution="© Somebody")
    return tmp_path / "city.mbtiles"


def test_tiles_are_served_until_ctrl_c(city):
    command = [sys.executable, "-m", "geodistill_core.cli.main", "map", "serve", str(city), "--port", "0"]
    environment = {**os.environ, "COLUMNS": "200"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stderr.readline()
            url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
            column, row = mercator.tile_of(47.0, 8.0, 20)
            with urllib.request.urlopen(f"{url}/20/{column}/{row}.png", timeout=30) as answer:
                assert answer.read(4) == b"\x89PNG"
            with urllib.request.urlopen(f"{url}/file/city.mbtiles", timeout=30) as answer:
                assert answer.read() == city.read_bytes()
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in rest


def test_a_port_in_use_is_said_in_one_line(geodistill, city):
    from geodistill_core.maps import open_map
    from geodistill_core.maps.serve import serve

    with open_map(city) as map_, serve(map_) as server:
        ran = geodistill("map", "serve", city, "--port", server.port)
    assert ran.code == 4 and "--port" in ran.err and "Traceback" not in ran.err


SERVICE = """
name: loopback
kind: xyz
url: http://127.0.0.1:9/{z}/{x}/{y}.png
zooms: [0, 20]
attribution: somebody
terms_url: own
terms_accepted: true
cache_allowed: false
allow_private: true
"""


def test_a_service_is_not_passed_on_to_the_network_nor_searched_for_holes(geodistill, tmp_path):
    (tmp_path / "source.yaml").write_text(SERVICE)
    ran = geodistill("map", "serve", tmp_path / "source.yaml", "--host", "0.0.0.0")
    assert ran.code == 2 and "127.0.0.1 only" in ran.err
    ran = geodistill("map", "info", tmp_path / "source.yaml", "--picture", tmp_path / "holes.png")
    assert ran.code == 2 and "map fetch" in ran.err
