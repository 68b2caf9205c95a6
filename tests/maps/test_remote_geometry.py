# SPDX-License-Identifier: Apache-2.0
"""Where tiles from a service put things, against geodesics of the WGS-84 ellipsoid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Geod
from remote import mark_tile, opened
from server import FaultServer

from geodistill_core.maps.address import TileAddress, addresses_around
from geodistill_core.maps.serve import Reply
from geodistill_core.types import GeoPoint

GEOD = Geod(ellps="WGS84")
ZOOM = 20
PLACES = [(0.0, 7.0), (47.4, 8.5), (60.2, 24.9), (-33.9, 151.2), (12.0, 179.9999), (-47.0, -179.9999), (60.0, 180.0)]
# Metres from the centre, all within a tile of 70 m.
MARKS_M = [(-24.0, 17.0), (17.5, -9.25), (3.1, 28.4), (-12.2, -27.7), (29.0, 29.0)]


class MarkedWorld:
    """A tile service whose pictures show the marks of the moment."""

    def __init__(self):
        self.marks, self.side = [], 256

    def __call__(self, request):
        zoom, column, row = (int(part) for part in request.path.removesuffix(".png").strip("/").split("/"))
        return Reply(mark_tile(self.marks, zoom, column, row, self.side), "image/png")


def found_near(tile, east_m, north_m):
    """Intensity centroid within 2 m of a place, as metres east and north of the tile's centre."""
    rows, columns = np.mgrid[0 : tile.rgb.shape[0], 0 : tile.rgb.shape[1]] + 0.5
    east, north = tile.pixel_to_enu(columns, rows)
    weight = np.where(np.hypot(east - east_m, north - north_m) < 2.0, tile.rgb[..., 1].astype(float) - 20.0, 0.0)
    return float((weight * east).sum() / weight.sum()), float((weight * north).sum() / weight.sum())


@pytest.fixture(scope="module")
def world():
    marked = MarkedWorld()
    with FaultServer(marked) as server:
        yield marked, server


def worst_error_m(world, folder, latitude, longitude, **fields):
    marked, server = world
    center = GeoPoint(latitude, longitude)
    bearings = [(math.degrees(math.atan2(east, north)), math.hypot(east, north)) for east, north in MARKS_M]
    marked.marks = [GEOD.fwd(longitude, latitude, *bearing)[1::-1] for bearing in bearings]
    marked.side = fields.get("tile_size", 256) * fields.get("scale", 1)
    with opened("xyz", f"{server.url}/{{z}}/{{x}}/{{y}}.png", folder, cache_allowed=False, **fields) as source:
        tile = source.tile(center, 70.0, 0.1)
    assert tile.valid.all()
    return max(math.dist(found_near(tile, *mark), mark) for mark in MARKS_M)


@pytest.mark.parametrize("latitude, longitude", PLACES)
def test_a_70_m_tile_of_zoom_20_is_true_to_5_cm(world, tmp_path, latitude, longitude):
    assert worst_error_m(world, tmp_path, latitude, longitude, zooms=[ZOOM, ZOOM]) < 0.05


@pytest.mark.parametrize("fields", [{"tile_size": 512}, {"scale": 2}, {"tile_size": 512, "scale": 2}])
def test_larger_tiles_are_as_true(world, tmp_path, fields):
    assert worst_error_m(world, tmp_path, 47.4, 8.5, zooms=[19, 19], **fields) < 0.05


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    latitude=st.sampled_from([0.0, 47.0, 60.0, -33.0]).flatmap(lambda around: st.floats(around - 1.0, around + 1.0)),
    longitude=st.one_of(st.floats(-180.0, 180.0), st.floats(-1e-3, 1e-3).map(lambda off: 180.0 + off)),
)
def test_any_centre_is_true_to_5_cm(world, tmp_path, latitude, longitude):
    assert worst_error_m(world, tmp_path, latitude, longitude, zooms=[ZOOM, ZOOM]) < 0.05


@settings(max_examples=60)
@given(latitude=st.floats(-70.0, 70.0), longitude=st.floats(-180.0, 180.0), extent_m=st.floats(1.0, 300.0))
def test_the_tiles_around_a_place_hold_its_corners(latitude, longitude, extent_m):
    addresses = addresses_around(GeoPoint(latitude, longitude), extent_m, ZOOM)
    assert len(set(addresses)) == len(addresses)
    for bearing in (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0):
        reach_m = extent_m / 2 * (math.sqrt(2.0) if bearing % 90.0 else 1.0)
        corner_longitude, corner_latitude, _ = GEOD.fwd(longitude, latitude, bearing, reach_m)
        assert any(address.bounds.contains(GeoPoint(corner_latitude, corner_longitude)) for address in addresses)


def test_tiles_beyond_either_end_of_the_world_are_its_tiles():
    columns = {address.column for address in addresses_around(GeoPoint(10.0, 180.0), 70.0, ZOOM)}
    assert {0, 2**ZOOM - 1} <= columns <= {*range(3), *range(2**ZOOM - 3, 2**ZOOM)}
    assert TileAddress(3, -1, 2) == TileAddress(3, 7, 2) and TileAddress(3, 7, 2).parent == TileAddress(2, 3, 1)
    assert addresses_around(GeoPoint(89.0, 0.0), 70.0, ZOOM) == ()
