# SPDX-License-Identifier: Apache-2.0
"""Tile arithmetic against PROJ's EPSG:3857 and against geodesics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from geodistill_core.errors import ConfigError
from geodistill_core.geometry import mercator

GEOD = Geod(ellps="WGS84")
TO_3857 = Transformer.from_crs(4326, 3857, always_xy=True)
WORLD_M = 2 * math.pi * 6378137.0
latitudes = st.floats(-70.0, 70.0)
longitudes = st.floats(-180.0, 180.0, exclude_max=True)
zooms = st.integers(0, 24)
tile_sizes = st.sampled_from([256, 512])


@given(latitudes, longitudes, zooms, tile_sizes)
def test_pixels_are_epsg_3857_metres_from_the_north_west_corner(lat, lon, zoom, tile_size):
    x_m, y_m = TO_3857.transform(lon, lat)
    pixels_per_metre = tile_size * 2**zoom / WORLD_M
    x, y = mercator.to_pixel(lat, lon, zoom, tile_size)
    assert x == pytest.approx((x_m + WORLD_M / 2) * pixels_per_metre, abs=1e-9 * tile_size * 2**zoom)
    assert y == pytest.approx((WORLD_M / 2 - y_m) * pixels_per_metre, abs=1e-9 * tile_size * 2**zoom)


@given(latitudes, longitudes, zooms, tile_sizes)
def test_pixel_round_trip_keeps_the_point(lat, lon, zoom, tile_size):
    back = mercator.to_geodetic(*mercator.to_pixel(lat, lon, zoom, tile_size), zoom, tile_size)
    assert back[0] == pytest.approx(lat, abs=1e-11)
    assert abs((back[1] - lon + 180.0) % 360.0 - 180.0) < 1e-11


@given(latitudes, st.one_of(longitudes, st.just(-180.0)), st.integers(14, 22), tile_sizes)
def test_one_pixel_east_is_metres_per_pixel_of_ground(lat, lon, zoom, tile_size):
    x, y = mercator.to_pixel(lat, lon, zoom, tile_size)
    west_lat, west_lon = mercator.to_geodetic(x - 0.5, y, zoom, tile_size)
    east_lat, east_lon = mercator.to_geodetic(x + 0.5, y, zoom, tile_size)
    ground_m = GEOD.inv(west_lon, west_lat, east_lon, east_lat)[2]
    assert mercator.metres_per_pixel(lat, zoom, tile_size) == pytest.approx(ground_m, rel=2e-6)


@given(latitudes, longitudes, st.integers(1, 22))
def test_tile_bounds_hold_the_point_and_neighbours_share_edges(lat, lon, zoom):
    column, row = mercator.tile_of(lat, lon, zoom)
    bounds = mercator.tile_bounds(column, row, zoom)
    assert bounds.south - 1e-9 <= lat <= bounds.north + 1e-9
    assert (lon - bounds.west + 1e-9) % 360.0 <= bounds.width + 2e-9
    right = mercator.tile_bounds(column + 1, row, zoom)
    assert abs((right.west - bounds.east + 180.0) % 360.0 - 180.0) < 1e-9


@given(latitudes, st.integers(1, 22))
def test_tile_columns_wrap_at_the_antimeridian(lat, zoom):
    last, row = mercator.tile_of(lat, 180.0 - 1e-7, zoom)
    assert last == 2**zoom - 1
    assert mercator.tile_of(lat, 180.0, zoom) == mercator.tile_of(lat, -180.0, zoom) == (0, row)
    assert mercator.tile_of(lat, 180.0 + 1e-7, zoom)[0] == 0
    assert mercator.tile_bounds(2**zoom, row, zoom) == mercator.tile_bounds(0, row, zoom)


def test_seams_of_zoom_1_are_greenwich_and_the_equator():
    assert mercator.tile_of(51.4779, 0.0, 1) == (1, 0)
    assert mercator.tile_of(-51.4779, -0.001, 1) == (0, 1)


def test_512_pixel_tiles_halve_the_ground_size_of_a_pixel():
    assert mercator.metres_per_pixel(47.6, 19, 512) == mercator.metres_per_pixel(47.6, 20, 256)
    arrays = mercator.metres_per_pixel(np.array([0.0, 60.0]), 20)
    assert arrays[0] == mercator.metres_per_pixel(0.0, 20) and arrays[1] < arrays[0]


@given(longitudes)
def test_both_mercator_limits_fall_on_existing_tile_rows(lon):
    assert mercator.tile_of(mercator.MAX_LATITUDE, lon, 20)[1] == 0
    assert mercator.tile_of(-mercator.MAX_LATITUDE, lon, 20)[1] == 2**20 - 1


def test_poles_and_absurd_zooms_are_refused():
    with pytest.raises(ConfigError, match=r"85\.05"):
        mercator.to_pixel(86.0, 0.0, 10)
    with pytest.raises(ConfigError, match="zoom 31"):
        mercator.metres_per_pixel(0.0, 31)
    with pytest.raises(ConfigError, match="row 4"):
        mercator.tile_bounds(0, 4, 2)
