# SPDX-License-Identifier: Apache-2.0
"""MBTiles against files built here by hand, against GDAL's reader, and against geodesics."""

from __future__ import annotations

import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from gdal_oracle import gdal_tile, shift_px
from pyproj import Geod

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps import RasterSource, open_map, write_mbtiles
from geodistill_core.types import GeoPoint, MapTile

GEOD = Geod(ellps="WGS84")
PLACES = [(0.0, 0.0), (47.4, 8.5), (60.2, 24.9), (-33.9, 151.2), (12.0, 180.0), (-60.0, -179.9999)]
MARKS_M = [(-31.0, 22.0), (17.5, -9.25), (3.1, 28.4), (-12.2, -27.7)]
RASTER_MPP = 0.1


def marked_city(place: GeoPoint, side: int = 1200) -> RasterSource:
    """Dark ground with a soft bright mark at each of MARKS_M (metres east, north)."""
    yy, xx = np.mgrid[0:side, 0:side] + 0.5
    image = np.full((side, side), 20.0)
    for east, north in MARKS_M:
        column, row = side / 2 + east / RASTER_MPP, side / 2 - north / RASTER_MPP
        image += 220 * np.exp(-((xx - column) ** 2 + (yy - row) ** 2) / (2 * 4.0**2))
    return RasterSource(np.repeat(np.clip(image, 0, 255)[..., None], 3, axis=2).astype(np.uint8), place, RASTER_MPP)


def found_near(tile: MapTile, east_m: float, north_m: float) -> tuple[float, float]:
    """Intensity centroid within 2 m of a place, as metres east and north of the tile's centre."""
    rows, columns = np.mgrid[0 : tile.rgb.shape[0], 0 : tile.rgb.shape[1]] + 0.5
    east, north = tile.pixel_to_enu(columns, rows)
    weight = np.where(np.hypot(east - east_m, north - north_m) < 2.0, tile.rgb[..., 1].astype(float) - 20.0, 0.0)
    return float((weight * east).sum() / weight.sum()), float((weight * north).sum() / weight.sum())


@pytest.mark.parametrize("metres_per_pixel", [0.1, 0.25])
@pytest.mark.parametrize("latitude, longitude", PLACES)
def test_marks_keep_their_place_within_5_cm_through_zoom_20(tmp_path, latitude, longitude, metres_per_pixel):
    place = GeoPoint(latitude, longitude)
    city = marked_city(place)
    write_mbtiles(tmp_path / "city.mbtiles", city, city.bounds(), 20)
    center_lon, center_lat, _ = GEOD.fwd(longitude, latitude, 115.0, 6.3)
    with open_map(tmp_path / "city.mbtiles") as map_:
        tile = map_.tile(GeoPoint(center_lat, center_lon), 80.0, metres_per_pixel)
    assert tile.valid.all()
    for east, north in MARKS_M:
        mark = GEOD.fwd(longitude, latitude, math.degrees(math.atan2(east, north)), math.hypot(east, north))
        azimuth, _, distance = GEOD.inv(center_lon, center_lat, mark[0], mark[1])
        true = distance * math.sin(math.radians(azimuth)), distance * math.cos(math.radians(azimuth))
        assert math.dist(found_near(tile, *true), true) < 0.05


def hand_made(path, tiles: dict[tuple[int, int, int], bytes], **metadata: str) -> None:
    """A file straight from the specification: tile_row counts from the south."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE metadata (name text, value text)")
        db.execute("CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)")
        db.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
        rows = [(z, x, 2**z - 1 - y, data) for (z, x, y), data in tiles.items()]
        db.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    db.close()


def flat(color: tuple[int, int, int], extension: str = ".png", side: int = 256) -> bytes:
    return cv2.imencode(extension, np.full((side, side, 3), color[::-1], np.uint8))[1].tobytes()


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_tile_rows_count_from_the_south_and_every_format_decodes(tmp_path, extension):
    path = tmp_path / "a.mbtiles"
    x, y = mercator.tile_of(47.6, -122.3, 18)
    north, south = flat((250, 10, 10), extension), flat((10, 10, 250), extension)
    hand_made(path, {(18, x, y): north, (18, x, y + 1): south}, format=extension[1:])
    seam = mercator.to_geodetic(x + 0.5, y + 1.0, 18, 1)
    tile = open_map(path).tile(GeoPoint(*seam), 60.0, 0.5)
    assert np.abs(tile.rgb[:59].astype(int) - (250, 10, 10)).max() < 6
    assert np.abs(tile.rgb[61:].astype(int) - (10, 10, 250)).max() < 6


def test_512_pixel_tiles_cover_the_same_ground_as_256_pixel_tiles(tmp_path):
    x, y = mercator.tile_of(-33.9, 151.2, 19)
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8), (512, 512))
    half = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    for name, image in (("512", picture), ("256", half)):
        hand_made(tmp_path / name, {(19, x, y): cv2.imencode(".png", image)[1].tobytes()})
    center = GeoPoint(*mercator.to_geodetic(x + 0.5, y + 0.5, 19, 1))
    large, small = (open_map(tmp_path / name).tile(center, 40.0, 0.5) for name in ("512", "256"))
    assert np.abs(large.rgb.astype(int) - small.rgb).mean() < 1.0
    assert open_map(tmp_path / "512").info().metres_per_pixel * 2 == open_map(tmp_path / "256").info().metres_per_pixel


def test_the_coarsest_zoom_that_is_fine_enough_is_read(tmp_path):
    colors = {17: (200, 0, 0), 18: (0, 200, 0), 19: (0, 0, 200)}
    tiles = {}
    for zoom, color in colors.items():
        x, y = mercator.tile_of(45.0, 7.0, zoom)
        tiles |= {(zoom, x + i, y + j): flat(color) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    hand_made(tmp_path / "pyramid", tiles)
    map_ = open_map(tmp_path / "pyramid")
    assert map_.info().zooms == (17, 18, 19)
    # Ground resolutions at 45 degrees: 0.845, 0.423 and 0.211 m/px.
    for metres_per_pixel, zoom in ((2.0, 17), (0.85, 17), (0.8, 17), (0.5, 18), (0.25, 19), (0.1, 19)):
        tile = map_.tile(GeoPoint(45.0, 7.0), 32.0, metres_per_pixel)
        assert (tile.rgb[tile.valid] == colors[zoom]).all()


def test_written_file_reads_alike_in_gdal(tmp_path):
    place = GeoPoint(47.4, 8.5)
    noise = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (900, 900, 3), dtype=np.uint8), (0, 0), 3)
    city = RasterSource(cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX), place, RASTER_MPP)
    path = tmp_path / "city.mbtiles"
    write_mbtiles(path, city, city.bounds(), 20, attribution="Nobody")
    tile = open_map(path).tile(place, 60.0, 0.1)
    reference = gdal_tile(path, place, 600, 0.1)
    assert np.median(np.abs(tile.rgb.astype(int) - reference)) <= 1
    assert shift_px(tile.rgb, reference) < 0.02


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_partly_covered_tiles_keep_their_mask_in_every_format(tmp_path, image_format):
    city = RasterSource(np.full((300, 300, 3), 120, np.uint8), GeoPoint(47.4, 8.5), 0.2)
    path = tmp_path / "city.mbtiles"
    edges = city.bounds()
    left, top = mercator.tile_of(edges.north, edges.west, 19)
    right, bottom = mercator.tile_of(edges.south, edges.east, 19)
    touched = (right - left + 1) * (bottom - top + 1)
    assert write_mbtiles(path, city, edges, 19, image_format=image_format) == touched
    tile = open_map(path).tile(GeoPoint(47.4, 8.5), 100.0, 0.25)
    assert tile.valid.sum() * 0.25**2 == pytest.approx(60.0**2, rel=0.02)
    assert np.abs(tile.rgb[tile.valid].astype(int) - 120).max() <= 3


def test_metadata_survive_and_links_in_the_attribution_become_text(tmp_path):
    city = RasterSource(np.full((64, 64, 3), 9, np.uint8), GeoPoint(1.0, 180.0), 0.5)
    write_mbtiles(tmp_path / "a", city, city.bounds(), 20, attribution='<a href="x">&copy; Somebody</a>')
    info = open_map(tmp_path / "a").info()
    edges, pixel = city.bounds(), 360.0 / 2**28
    for side in ("west", "south", "east", "north"):
        assert getattr(info.bounds, side) == pytest.approx(getattr(edges, side), abs=1.01 * pixel)
    assert info.attribution == "© Somebody" and info.zooms == (20,) and info.kind == "mbtiles"
    assert info.bounds.west > info.bounds.east
    assert open_map(tmp_path / "a").tile(GeoPoint(1.0, 180.0), 10.0, 0.5).attribution == "© Somebody"


def test_any_giver_of_tiles_can_be_written(tmp_path):
    city = marked_city(GeoPoint(47.4, 8.5))

    class OnlyTiles:
        def tile(self, center, extent_m, metres_per_pixel):
            return city.tile(center, extent_m, metres_per_pixel)

    write_mbtiles(tmp_path / "direct", city, city.bounds(), 20)
    write_mbtiles(tmp_path / "indirect", OnlyTiles(), city.bounds(), 20)
    tiles = [open_map(tmp_path / name).tile(GeoPoint(47.4, 8.5), 80.0, 0.25) for name in ("direct", "indirect")]
    assert np.abs(tiles[0].rgb.astype(int) - tiles[1].rgb).max() <= 12
    assert math.dist(found_near(tiles[0], *MARKS_M[0]), found_near(tiles[1], *MARKS_M[0])) < 0.01


def test_writing_beyond_the_imagery_fails_and_leaves_no_file(tmp_path):
    city = marked_city(GeoPoint(47.4, 8.5), 200)
    with pytest.raises(MapError, match="no imagery"):
        write_mbtiles(tmp_path / "a", city, GeoBounds(10.0, 50.0, 10.001, 50.001), 18)
    with pytest.raises(ConfigError, match="exceed"):
        write_mbtiles(tmp_path / "a", city, GeoBounds(10.0, 50.0, 12.0, 52.0), 20)
    with pytest.raises(ConfigError, match="tiff"):
        write_mbtiles(tmp_path / "a", city, city.bounds(), 18, image_format="tiff")
    assert list(tmp_path.iterdir()) == []


def test_missing_tiles_are_not_valid_and_bounds_come_from_the_tiles_without_metadata(tmp_path):
    x, y = mercator.tile_of(10.0, 20.0, 19)
    hand_made(tmp_path / "a", {(19, x, y): flat((1, 2, 3))})
    map_ = open_map(tmp_path / "a")
    assert map_.bounds() == mercator.tile_bounds(x, y, 19)
    tile = map_.tile(map_.bounds().center, 150.0, 0.5)
    side_m = 256 * mercator.metres_per_pixel(10.0, 19)
    assert tile.valid.sum() * 0.25 == pytest.approx(side_m**2, rel=0.02)
    with pytest.raises(MapError, match="nearest coverage"):
        map_.tile(GeoPoint(10.0, 20.01), 80.0, 0.25)
    with pytest.raises(MapError, match="no imagery"):
        map_.tile(GeoPoint(89.0, 20.0), 80.0, 0.25)


def test_damaged_tiles_are_named(tmp_path):
    x, y = mercator.tile_of(10.0, 20.0, 19)
    hand_made(tmp_path / "a", {(19, x - 1, y): flat((1, 2, 3)), (19, x, y): b"\xff\xd8\xff\xe0 not a picture"})
    with pytest.raises(MapError, match=rf"tile 19/{x}/{y}"):
        open_map(tmp_path / "a").tile(GeoPoint(*mercator.to_geodetic(x + 0.5, y + 0.5, 19, 1)), 20.0, 0.25)
    hand_made(tmp_path / "b", {(19, x - 1, y): flat((1, 2, 3)), (19, x, y): flat((1, 2, 3), side=512)})
    with pytest.raises(MapError, match="one tile size"):
        open_map(tmp_path / "b").tile(GeoPoint(*mercator.to_geodetic(x + 0.5, y + 0.5, 19, 1)), 20.0, 0.25)


def test_threads_read_what_one_reader_reads(tmp_path):
    city = marked_city(GeoPoint(47.4, 8.5))
    write_mbtiles(tmp_path / "a", city, city.bounds(), 20)
    centers = [GeoPoint(47.4 + 1e-5 * i, 8.5) for i in range(8)] * 4
    with open_map(tmp_path / "a") as shared, ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda center: shared.tile(center, 40.0, 0.25).key, centers))
    with open_map(tmp_path / "a") as alone:
        assert keys == [alone.tile(center, 40.0, 0.25).key for center in centers]
