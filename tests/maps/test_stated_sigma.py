# SPDX-License-Identifier: Apache-2.0
"""Maps in files say how far they may lie off, each kind in its own metadata; every tile repeats it."""

from __future__ import annotations

import sqlite3

import cv2
import numpy as np
import pytest
import rasterio
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer
from rasterio.transform import from_origin

from geodistill_core.geometry import mercator
from geodistill_core.maps import open_map
from geodistill_core.types import GeoPoint

ZOOM, COLUMN, ROW = 18, 137_000, 91_000
PICTURE = bytes(cv2.imencode(".png", np.full((256, 256, 3), 80, np.uint8))[1])
PLACE = GeoPoint(*mercator.to_geodetic(COLUMN + 0.5, ROW + 0.5, ZOOM, 1))


def geotiff(path, stated):
    corner = from_origin(PLACE.longitude - 1e-3, PLACE.latitude + 1e-3, 1e-5, 1e-5)
    how = {"driver": "GTiff", "width": 200, "height": 200, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", **how, transform=corner) as dataset:
        dataset.write(np.full((3, 200, 200), 80, np.uint8))
        dataset.update_tags(map_sigma_m=stated)
    return path


def mosaic(path, stated):
    path.mkdir()
    geotiff(path / "a.tif", stated)
    geotiff(path / "b.tif", "0.01")
    return path


def pmtiles(path, stated):
    with path.open("wb") as file:
        writer = Writer(file)
        writer.write_tile(zxy_to_tileid(ZOOM, COLUMN, ROW), PICTURE)
        kinds = {"tile_type": TileType.PNG, "tile_compression": Compression.NONE}
        writer.finalize(kinds, {"map_sigma_m": stated})
    return path


def mbtiles(path, stated):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
        database.execute("CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data)")
        database.execute("INSERT INTO metadata VALUES ('map_sigma_m', ?)", (stated,))
        database.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (ZOOM, COLUMN, 2**ZOOM - 1 - ROW, PICTURE))
    database.close()
    return path


@pytest.mark.parametrize("made", [geotiff, mosaic, pmtiles, mbtiles])
def test_f15_a_file_s_statement_reaches_every_tile_cut_from_it(made, tmp_path):
    with open_map(made(tmp_path / "map", "0.7")) as source:
        assert source.map_sigma_m == source.tile(PLACE, 16.0, 0.5).map_sigma_m == 0.7


@pytest.mark.parametrize("made", [geotiff, pmtiles, mbtiles])
@pytest.mark.parametrize("stated", ["nan", "-1", "1e9", "half a metre", ""])
def test_f15_what_is_no_length_in_metres_states_nothing(made, stated, tmp_path):
    with open_map(made(tmp_path / "map", stated)) as source:
        assert source.map_sigma_m == 0.0
