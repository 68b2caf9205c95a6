# SPDX-License-Identifier: Apache-2.0
"""Folders of named tiles: a real VIGOR tile, and folders made here."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from pyproj import Geod

from geodistill_core.errors import MapError
from geodistill_core.geometry import mercator
from geodistill_core.maps import open_map
from geodistill_core.types import GeoPoint

GEOD = Geod(ellps="WGS84")
REAL = Path(__file__).parents[2] / "../shared/data/vigor_sample"
SIDE_PX = 640


def put(folder: Path, latitude: float, longitude: float, image: np.ndarray) -> Path:
    path = folder / f"satellite_{latitude!r}_{longitude!r}.png"
    cv2.imwrite(str(path), image[..., ::-1])
    return path


def flat(level: int, side: int = SIDE_PX) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


@pytest.mark.skipif(not REAL.is_dir(), reason="real data absent: vigor_sample")
def test_tile_cut_at_the_labelled_camera_has_the_labelled_pixel_at_its_centre():
    meta = json.loads((REAL / "meta.json").read_text())
    source = cv2.imread(str(REAL / meta["tile"]))[..., ::-1]
    camera = GeoPoint(meta["panorama_latitude"], meta["panorama_longitude"])
    with open_map(REAL / "satellite") as map_:
        resolution = map_.info().metres_per_pixel
        tile = map_.tile(camera, 30.0, resolution)
    assert resolution == pytest.approx(meta["metres_per_pixel"], rel=0.003)
    half = tile.rgb.shape[0] // 2
    patch = tile.rgb[half - 48 : half + 48, half - 48 : half + 48]
    score = cv2.matchTemplate(np.ascontiguousarray(source), patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (left, top) = cv2.minMaxLoc(score)
    assert best > 0.95
    # Whole-pixel labels against coordinates of 6 decimals: over all labels of the set the spread is 1.5 px.
    assert math.dist((left + 48, top + 48), (meta["camera_pixel"]["col"], meta["camera_pixel"]["row"])) < 2.5


@pytest.mark.parametrize("latitude, longitude", [(0.0, 0.0), (47.6, -122.3), (-33.9, 151.2), (60.0, -180.0)])
def test_marks_in_an_image_lie_where_its_name_says(tmp_path, latitude, longitude):
    yy, xx = np.mgrid[0:SIDE_PX, 0:SIDE_PX] + 0.5
    column, row = 430.25, 201.5
    bump = 255 * np.exp(-((xx - column) ** 2 + (yy - row) ** 2) / (2 * 5.0**2))
    put(tmp_path, latitude, longitude, np.repeat(bump[..., None], 3, axis=2).astype(np.uint8))
    resolution_m = mercator.metres_per_pixel(latitude, 20)
    tile = open_map(tmp_path).tile(GeoPoint(latitude, longitude), 600 * resolution_m, resolution_m)
    weight = tile.rgb[..., 0].astype(float)
    rows, columns = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]] + 0.5
    column_found, row_found = ((weight * axis).sum() / weight.sum() for axis in (columns, rows))
    found = tile.pixel_to_enu(column_found, row_found)
    world = 2**28
    x, y = mercator.to_pixel(latitude, longitude, 20)
    mark_lon = ((x + column - 320) / world - 0.5) * 360.0
    mark_lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (y + row - 320) / world))))
    azimuth, _, distance = GEOD.inv(longitude, latitude, mark_lon, mark_lat)
    azimuth = math.radians(azimuth)
    assert found == pytest.approx((distance * math.sin(azimuth), distance * math.cos(azimuth)), abs=0.01)


def test_the_nearest_image_wins_where_images_overlap_and_others_fill_in(tmp_path):
    step = 328 * 360.0 / 2**28
    put(tmp_path, 0.0, 0.0, flat(50))
    put(tmp_path, 0.0, step, flat(200))
    tile = open_map(tmp_path).tile(GeoPoint(0.0, 0.2 * step), 120.0, 0.5)
    column = tile.rgb[120, :, 0]
    first_covers_to = int(120 + (320 - 0.2 * 328) * mercator.metres_per_pixel(0.0, 20) / 0.5)
    assert (column[20 : first_covers_to - 1] == 50).all() and tile.valid[120, first_covers_to - 1]
    assert (column[first_covers_to + 1 : first_covers_to + 80] == 200).all()


def test_an_image_near_the_equator_reaches_as_far_as_it_is_wide_beside_one_near_a_pole(tmp_path):
    put(tmp_path, 0.0, 0.0, flat(50))
    put(tmp_path, 82.0, 0.0, flat(200))
    # Half of 640 pixels of 0.149 m: the tile lies just within.
    tile = open_map(tmp_path).tile(GeoPoint(0.0, 35.0 / 111_320.0), 20.0, 0.25)
    assert tile.valid.all() and (tile.rgb == 50).all()


def test_images_on_both_sides_of_the_antimeridian_join(tmp_path):
    half = 320 * 360.0 / 2**28
    put(tmp_path, 10.0, 180.0 - half, flat(60))
    put(tmp_path, 10.0, -180.0 + half, flat(180))
    map_ = open_map(tmp_path)
    assert map_.bounds().width == pytest.approx(4 * half) and map_.bounds().contains(GeoPoint(10.0, 180.0))
    tile = map_.tile(GeoPoint(10.0, -180.0), 60.0, 0.5)
    assert tile.valid.all()
    assert (tile.rgb[:, :59] == 60).all() and (tile.rgb[:, 61:] == 180).all()


def test_tiles_yaml_tells_zoom_size_and_attribution(tmp_path):
    put(tmp_path, 47.0, 8.0, flat(90, 512))
    with pytest.raises(MapError, match="512 x 512 pixels, expected 640"):
        open_map(tmp_path)
    (tmp_path / "tiles.yaml").write_text("zoom: 18\nside_px: 512\ntile_size: 512\nattribution: Somebody\n")
    info = open_map(tmp_path).info()
    assert info.attribution == "Somebody" and info.kind == "folder" and info.zooms == (18,)
    assert info.metres_per_pixel == mercator.metres_per_pixel(47.0, 19)
    width_m = GEOD.inv(info.bounds.west, 47.0, info.bounds.east, 47.0)[2]
    assert width_m == pytest.approx(512 * info.metres_per_pixel, rel=1e-4)


@pytest.mark.parametrize("text", ["zom: 18", "zoom: high", "zoom: 99", "- 1", "zoom: [", "side_px: 0"])
def test_a_wrong_tiles_yaml_is_refused_by_name(tmp_path, text):
    put(tmp_path, 47.0, 8.0, flat(90))
    (tmp_path / "tiles.yaml").write_text(text)
    with pytest.raises(MapError, match=r"tiles\.yaml"):
        open_map(tmp_path)


def test_missing_imagery_names_the_nearest_image(tmp_path):
    put(tmp_path, 47.0, 8.0, flat(90))
    put(tmp_path, 47.1, 8.0, flat(90))
    distance_m = GEOD.inv(8.0, 47.09, 8.0, 47.1)[2]
    with pytest.raises(MapError, match=rf"80 m tile at 47\.09.*{distance_m:.0f} m away at 47\.1"):
        open_map(tmp_path).tile(GeoPoint(47.09, 8.0), 80.0, 0.25)


def test_a_damaged_image_is_named_when_it_is_needed(tmp_path):
    put(tmp_path, 47.0, 8.0, flat(90))
    bad = put(tmp_path, 47.1, 8.0, flat(90))
    bad.write_bytes(bad.read_bytes()[:20])
    map_ = open_map(tmp_path)
    with pytest.raises(MapError, match=r"47\.1_8\.0\.png"):
        map_.tile(GeoPoint(47.1, 8.0), 30.0, 0.25)
    bad.unlink()
    with pytest.raises(MapError, match=r"47\.1_8\.0\.png"):
        map_.tile(GeoPoint(47.1, 8.0), 30.0, 0.25)
    map_.tile(GeoPoint(47.0, 8.0), 30.0, 0.25)


def test_names_off_the_world_are_refused(tmp_path):
    put(tmp_path, 95.0, 8.0, flat(90))
    with pytest.raises(MapError, match=r"satellite_95\.0_8\.0\.png"):
        open_map(tmp_path)
