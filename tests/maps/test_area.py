# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from geodistill_core.errors import ConfigError
from geodistill_core.geometry import mercator
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.area import BoxArea, CorridorArea

GEOD = Geod(ellps="WGS84")


def _holding(latitude, longitude, zoom):
    """The slippy-map formula of the OpenStreetMap wiki."""
    n = 2**zoom
    row = (1 - np.arcsinh(np.tan(np.radians(latitude))) / np.pi) / 2 * n
    return TileAddress(zoom, int(np.floor((longitude + 180) / 360 * n)) % n, int(row))


def test_a_box_has_the_tiles_of_its_corners_and_all_between():
    area = BoxArea(GeoBounds(8.50, 47.30, 8.52, 47.31))
    tiles = set(area.tiles(16))
    west_north, east_south = _holding(47.31, 8.50, 16), _holding(47.30, 8.52, 16)
    columns = range(west_north.column, east_south.column + 1)
    assert tiles == {TileAddress(16, c, r) for c in columns for r in range(west_north.row, east_south.row + 1)}
    assert area.count(16) == len(tiles) == len(list(area.tiles(16)))


def test_a_box_across_the_antimeridian_has_tiles_on_both_sides():
    tiles = list(BoxArea(GeoBounds(179.999, -17.0, -179.999, -16.999)).tiles(18))
    columns = {tile.column for tile in tiles}
    assert {0, 2**18 - 1} <= columns and len(columns) == 2


def test_a_box_around_the_earth_has_each_column_once():
    area = BoxArea(GeoBounds(-179.9, -10.0, -179.95, 10.0))
    tiles = list(area.tiles(4))
    assert len(set(tiles)) == len(tiles) == area.count(4) == 16 * 2


def test_an_area_of_more_than_a_million_tiles_is_refused():
    with pytest.raises(ConfigError, match="exceed 1000000"):
        BoxArea(GeoBounds(5.0, 45.0, 10.0, 48.0)).count(18)
    with pytest.raises(ConfigError, match=r"more than 1000000.*smaller margin"):
        CorridorArea([np.array([[47.0, 8.0]])], 20_000.0).count(20)
    with pytest.raises(ConfigError, match="limit"):
        BoxArea(GeoBounds(0.0, 80.0, 1.0, 89.0)).count(10)


@given(
    latitude=st.floats(-70, 70),
    longitude=st.floats(-180, 179.999),
    bearing=st.floats(0, 360),
    aside=st.sampled_from([0.0, 90.0, 180.0, 270.0]) | st.floats(0, 360),
    along=st.floats(0, 1),
    share=st.sampled_from([0.999]) | st.floats(0, 0.999),
    margin_m=st.sampled_from([15.0, 40.0]),
)
def test_every_place_within_the_margin_of_a_route_is_covered(
    latitude, longitude, bearing, aside, along, share, margin_m
):
    length_m = 60.0
    end_lon, end_lat, _ = GEOD.fwd(longitude, latitude, bearing, length_m)
    area = CorridorArea([np.array([[latitude, longitude], [end_lat, end_lon]])], margin_m)
    on_lon, on_lat, _ = GEOD.fwd(longitude, latitude, bearing, length_m * along)
    lon, lat, _ = GEOD.fwd(on_lon, on_lat, aside, margin_m * share)
    assert _holding(lat, lon, 22) in set(area.tiles(22))


def test_a_corridor_holds_little_more_than_its_margin():
    end_lon, end_lat, _ = GEOD.fwd(8.5, 47.3, 90.0, 5000.0)
    area = CorridorArea([np.array([[47.3, 8.5], [end_lat, end_lon]])], 100.0)
    side_m = mercator.metres_per_pixel(47.3, 20, 1)
    needed = (5200.0 / side_m + 1) * (200.0 / side_m + 1)
    assert area.length_m == pytest.approx(5000.0, abs=0.1)
    assert needed * 0.9 < area.count(20) < needed * 1.35


def test_separate_lines_are_not_joined():
    lines = [np.array([[47.0, 8.0], [47.0, 8.001]]), np.array([[48.0, 8.0]])]
    tiles = set(CorridorArea(lines, 50.0).tiles(17))
    assert _holding(47.0, 8.0005, 17) in tiles and _holding(48.0, 8.0, 17) in tiles
    assert _holding(47.5, 8.0, 17) not in tiles


@pytest.mark.parametrize(
    ("lines", "margin_m", "message"),
    [
        ([], 100.0, "no points"),
        ([np.array([[47.0, 8.0]])], 0.0, "outside 1..20000"),
        ([np.array([[89.0, 8.0]])], 100.0, "limit"),
        ([np.array([[-60.0, -170.0], [60.0, 0.0]])], 5.0, "split it"),
    ],
)
def test_a_corridor_without_sense_is_refused(lines, margin_m, message):
    with pytest.raises(ConfigError, match=message):
        CorridorArea(lines, margin_m)
