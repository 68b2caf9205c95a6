# SPDX-License-Identifier: Apache-2.0
"""The local frame against geodesics of pyproj.Geod, an implementation that shares no code with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.bounds import GeoBounds
from geodistill_core.geometry.geodesy import LocalFrame, offsets_enu_m
from geodistill_core.types import GeoPoint

GEOD = Geod(ellps="WGS84")
latitudes = st.floats(-70.0, 70.0)
longitudes = st.one_of(st.floats(-180.0, 180.0), st.floats(179.95, 180.05))
azimuths_deg = st.floats(0.0, 360.0)
distances_m = st.floats(0.1, 5000.0)


@given(latitudes, longitudes, azimuths_deg, distances_m)
def test_offset_is_the_geodesic_within_a_millimetre_up_to_5_km(lat, lon, azimuth_deg, distance_m):
    end_lon, end_lat, _ = GEOD.fwd(lon, lat, azimuth_deg, distance_m)
    east, north = LocalFrame(GeoPoint(lat, lon)).to_enu(end_lat, end_lon)
    azimuth = math.radians(azimuth_deg)
    assert east == pytest.approx(distance_m * math.sin(azimuth), abs=1e-3)
    assert north == pytest.approx(distance_m * math.cos(azimuth), abs=1e-3)


@given(latitudes, longitudes, st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_round_trip_is_exact_and_lands_where_the_geodesic_lands(lat, lon, east, north):
    frame = LocalFrame(GeoPoint(lat, lon))
    point = frame.point(east, north)
    assert frame.to_enu(point.latitude, point.longitude) == pytest.approx((east, north), abs=1e-6)
    end_lon, end_lat, _ = GEOD.fwd(lon, lat, math.degrees(math.atan2(east, north)), math.hypot(east, north))
    assert GEOD.inv(point.longitude, point.latitude, end_lon, end_lat)[2] < 4e-3


@given(latitudes, st.floats(-3000, 3000), st.floats(-3000, 3000))
def test_frame_is_continuous_across_the_antimeridian(lat, east, north):
    at_180, at_0 = LocalFrame(GeoPoint(lat, 180.0)), LocalFrame(GeoPoint(lat, 0.0))
    point, twin = at_180.point(east, north), at_0.point(east, north)
    assert point.latitude == pytest.approx(twin.latitude, abs=1e-10)
    assert abs(point.longitude) > 179.8
    for turn in (-360.0, 0.0, 360.0):
        shifted = at_180.to_enu(point.latitude, point.longitude + turn)
        assert shifted == pytest.approx((east, north), abs=1e-5)


@given(latitudes, longitudes)
def test_axes_point_east_and_north_in_both_hemispheres(lat, lon):
    frame = LocalFrame(GeoPoint(lat, lon))
    assert frame.point(0.0, 100.0).latitude > lat
    east_of = frame.point(100.0, 0.0).longitude
    assert 0.0 < (east_of - lon) % 360.0 < 1.0


def test_arrays_give_the_same_as_floats_and_floats_give_floats():
    frame = LocalFrame(GeoPoint(-33.8, 151.2))
    latitudes_deg = np.array([[-33.81, -33.79], [-33.80, -33.77]])
    longitudes_deg = np.array([[151.19, 151.21], [151.20, 151.25]])
    east, north = frame.to_enu(latitudes_deg, longitudes_deg)
    assert east.shape == north.shape == (2, 2)
    for cell in np.ndindex(2, 2):
        single = frame.to_enu(float(latitudes_deg[cell]), float(longitudes_deg[cell]))
        assert all(type(value) is float for value in single)
        assert single == (east[cell], north[cell])
    back_latitude, back_longitude = frame.to_geodetic(east, north)
    assert np.abs(back_latitude - latitudes_deg).max() < 1e-11
    assert np.abs(back_longitude - longitudes_deg).max() < 1e-11


@pytest.mark.parametrize("latitude, longitude", [(90.5, 0.0), (math.nan, 0.0), (0.0, math.inf)])
def test_what_is_not_a_coordinate_is_refused(latitude, longitude):
    with pytest.raises(ConfigError):
        LocalFrame(GeoPoint(0.0, 0.0)).to_enu(latitude, longitude)


def test_offsets_beyond_the_frame_are_refused():
    with pytest.raises(ConfigError, match="1000000 m"):
        LocalFrame(GeoPoint(0.0, 0.0)).to_geodetic(2e6, 0.0)


def test_bounds_across_the_antimeridian_contain_both_sides_and_know_their_middle():
    bounds = GeoBounds(west=179.9, south=-1.0, east=-179.7, north=1.0)
    assert bounds.width == pytest.approx(0.4)
    assert bounds.center.longitude == pytest.approx(-179.9)
    assert bounds.contains(GeoPoint(0.0, 179.95)) and bounds.contains(GeoPoint(0.0, -179.75))
    assert not bounds.contains(GeoPoint(0.0, 0.0)) and not bounds.contains(GeoPoint(1.5, 180.0))
    assert bounds.nearest(GeoPoint(2.0, -179.0)) == GeoPoint(1.0, -179.7)
    assert bounds.nearest(GeoPoint(0.5, 179.0)) == GeoPoint(0.5, 179.9)


@pytest.mark.parametrize("edges", [(0.0, 1.0, 1.0, 0.0), (0.0, -91.0, 1.0, 0.0), (0.0, 0.0, 181.0, 1.0)])
def test_impossible_bounds_are_refused(edges):
    with pytest.raises(ConfigError):
        GeoBounds(*edges)


@given(latitudes, longitudes, st.floats(-5000, 5000), st.floats(-5000, 5000))
def test_offsets_from_an_origin_each_are_those_of_the_projection_library(lat, lon, east, north):
    frame = LocalFrame(GeoPoint(lat, lon))
    point = frame.point(east, north)
    expected = frame.to_enu(point.latitude, point.longitude)
    assert offsets_enu_m(point.latitude, point.longitude, lat, lon) == pytest.approx(expected, abs=1e-7)


def test_offsets_of_arrays_have_an_origin_each():
    latitude, longitude = np.array([47.0001, -33.9]), np.array([8.0, 18.5002])
    east, north = offsets_enu_m(latitude, longitude, np.array([47.0, -33.9]), np.array([8.0, 18.5]))
    singles = [
        LocalFrame(GeoPoint(a, b)).to_enu(c, d)
        for a, b, c, d in zip([47.0, -33.9], [8.0, 18.5], latitude, longitude, strict=True)
    ]
    assert np.stack([east, north], axis=1) == pytest.approx(np.array(singles), abs=1e-7)
