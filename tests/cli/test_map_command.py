# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from geodistill_core.cli.map import app
from geodistill_core.errors import MapError
from geodistill_core.maps import RasterSource, write_mbtiles
from geodistill_core.types import GeoPoint


@pytest.fixture
def city(tmp_path):
    raster = RasterSource(np.full((900, 1200, 3), 50, np.uint8), GeoPoint(-47.0, 180.0), 0.1)
    write_mbtiles(tmp_path / "city.mbtiles", raster, raster.bounds(), 20, attribution="© Somebody")
    return tmp_path / "city.mbtiles"


def test_info_prints_coverage_resolution_zooms_and_attribution(city):
    result = CliRunner().invoke(app, ["info", str(city)], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for fact in ("mbtiles", "179.99", "-179.99", "120 m x 90 m", "0.102 m per pixel", "20", "© Somebody"):
        assert fact in result.output


def test_info_as_json_holds_the_same_facts(city):
    result = CliRunner().invoke(app, ["info", str(city), "--json", "-"])
    facts = json.loads(result.output)
    assert facts["zooms"] == [20] and facts["kind"] == "mbtiles" and facts["attribution"] == "© Somebody"
    assert facts["extent_m"] == pytest.approx({"east": 120.0, "north": 90.0}, abs=0.3)
    assert abs(facts["center"]["longitude"]) == pytest.approx(180.0, abs=1e-5)
    assert facts["bounds"]["west"] > 179.9 and facts["bounds"]["east"] < -179.9


def test_info_writes_json_to_a_file_beside_the_table(city, tmp_path):
    result = CliRunner().invoke(app, ["info", str(city), "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0 and "resolution" in result.output
    assert json.loads((tmp_path / "out.json").read_text())["map"] == str(city)


def test_info_of_nothing_is_a_map_error(tmp_path):
    result = CliRunner().invoke(app, ["info", str(tmp_path / "absent.mbtiles")])
    assert isinstance(result.exception, MapError) and "absent.mbtiles" in str(result.exception)
