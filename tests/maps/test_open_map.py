# SPDX-License-Identifier: Apache-2.0
"""Everything that is no map is refused in words."""

from __future__ import annotations

import sqlite3

import cv2
import numpy as np
import pytest

from geodistill_core.errors import MapError
from geodistill_core.maps import RasterSource, open_map, write_mbtiles
from geodistill_core.types import GeoPoint


def written(path):
    city = RasterSource(np.full((400, 400, 3), 50, np.uint8), GeoPoint(47.0, 8.0), 0.1)
    write_mbtiles(path, city, city.bounds(), 20)
    return path


def test_content_decides_not_the_name(tmp_path):
    path = written(tmp_path / "map.tif")
    assert open_map(str(path)).info().kind == "mbtiles"


def test_missing_file_empty_folder_and_foreign_files_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mbtiles").write_text("not a map")
    (tmp_path / "nothing.tif").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((32, 32, 3), np.uint8))
    for name, says in (
        ("absent.mbtiles", "No such file"),
        ("empty", "satellite_LATITUDE_LONGITUDE"),
        ("text.mbtiles", "not a raster"),
        ("nothing.tif", "not a raster"),
        ("photo.png", "no geo-reference"),
    ):
        with pytest.raises(MapError, match=says) as caught:
            open_map(tmp_path / name)
        assert name in str(caught.value)


@pytest.mark.parametrize("keep_bytes", [16, 100, 4096, 5000])
def test_truncated_sqlite_is_refused_by_name(tmp_path, keep_bytes):
    path = written(tmp_path / "map.mbtiles")
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(MapError, match=r"map\.mbtiles"):
        open_map(path)


def test_overwritten_pages_are_refused_by_name(tmp_path):
    path = written(tmp_path / "map.mbtiles")
    data = bytearray(path.read_bytes())
    data[100:] = bytes(len(data) - 100)
    path.write_bytes(bytes(data))
    with pytest.raises(MapError, match=r"map\.mbtiles"):
        open_map(path)


def test_other_sqlite_files_vector_tiles_and_tileless_files_are_refused(tmp_path):
    def database(name, *statements):
        with sqlite3.connect(tmp_path / name) as db:
            for statement in statements:
                db.execute(statement)
        db.close()
        return tmp_path / name

    tables = (
        "CREATE TABLE metadata (name text, value text)",
        "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)",
    )
    with pytest.raises(MapError, match="cannot be read as MBTiles"):
        open_map(database("other.db", "CREATE TABLE people (name text)"))
    with pytest.raises(MapError, match="no tiles"):
        open_map(database("empty.db", *tables))
    with pytest.raises(MapError, match="vector tiles"):
        open_map(database("vector.db", *tables, "INSERT INTO metadata VALUES ('format', 'pbf')"))
    with pytest.raises(MapError, match="not an 8-bit"):
        open_map(database("null.db", *tables, "INSERT INTO tiles VALUES (1, 0, 0, NULL)"))


def test_map_errors_end_the_command_line_with_4():
    assert MapError.exit_code == 4


def test_a_description_opens_a_service_without_asking_it(tmp_path):
    (tmp_path / "service.yaml").write_text(
        "{name: nowhere, kind: xyz, url: 'https://tiles.invalid/{z}/{x}/{y}.png', zooms: [0, 20], attribution: Survey, "
        "terms_url: own, terms_accepted: true, cache_allowed: false}"
    )
    with open_map(tmp_path / "service.yaml") as source:
        assert source.info().kind == "xyz" and source.attribution == "Survey"
        assert source.info().zooms == tuple(range(21))


def test_a_web_address_is_refused_and_its_key_not_repeated():
    with pytest.raises(MapError, match="describe the service") as caught:
        open_map("https://tiles.invalid/{z}/{x}/{y}.png?key=abc123")
    assert "abc123" not in str(caught.value)
