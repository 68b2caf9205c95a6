# SPDX-License-Identifier: Apache-2.0
"""The published approximations of distance and resolution against what they approximate."""

import numpy as np
import pytest
from pyproj import Geod

from geodistill_core.datasets.published_geodesy import (
    published_arc_cosine_m,
    published_haversine_m,
    published_metres_per_pixel,
    published_offset_m,
)

EQUATOR_M = 6_378_137.0
BEARINGS = np.linspace(0, 360, 721)


def test_offset_points_east_and_south_from_the_first_place_to_the_second():
    east, south = published_offset_m(49.0, 8.0, [49.001, 48.999], [8.001, 7.999])
    assert east[0] > 0 > south[0]
    assert east[1] < 0 < south[1]


def test_offset_is_nearly_that_on_a_sphere_of_the_equators_radius():
    east, south = published_offset_m(49.0, 8.0, 48.999, 8.002)
    assert float(south) == pytest.approx(np.radians(0.001) * EQUATOR_M, rel=1e-5)
    assert float(east) == pytest.approx(np.radians(0.002) * EQUATOR_M * np.cos(np.radians(48.999)), rel=1e-5)


def test_tiles_at_the_equator_share_its_length_by_512_pixels_a_tile():
    assert published_metres_per_pixel(lat=0.0, zoom=0) == pytest.approx(2 * np.pi * EQUATOR_M / 512, rel=1e-6)
    assert published_metres_per_pixel(lat=60.0, zoom=18) == pytest.approx(2 * np.pi * EQUATOR_M / 2**28, rel=1e-6)
    assert published_metres_per_pixel(scale=0.5) == 2 * published_metres_per_pixel()


def points(latitude, distance_m, longitude=-87.65):
    """Coordinates of a centre and of points around it at a true distance."""
    lat, lon = np.full_like(BEARINGS, latitude), np.full_like(BEARINGS, longitude)
    lon_b, lat_b, _ = Geod(ellps="WGS84").fwd(lon, lat, BEARINGS, np.full_like(BEARINGS, distance_m))
    return lat, lon, lat_b, lon_b


@pytest.mark.parametrize("latitude", [0.0, 25.0, 47.6, 60.0])
@pytest.mark.parametrize("distance", [published_haversine_m, published_arc_cosine_m])
def test_spheres_are_within_six_tenths_of_a_percent_of_the_ellipsoid(latitude, distance):
    found = distance(*points(latitude, 50.0))
    assert np.abs(found / 50.0 - 1).max() < 0.006


def test_haversine_at_the_equator_is_half_a_percent_long_northward_and_exact_to_a_thousandth_eastward():
    ratio = published_haversine_m(*points(0.0, 50.0)) / 50.0
    assert ratio[0] == pytest.approx(1.0057, abs=2e-4)
    assert ratio[180] == pytest.approx(0.9989, abs=2e-4)


def test_arc_cosine_loses_the_digits_of_a_metre():
    short = points(47.6, 1.0)
    assert np.abs(published_arc_cosine_m(*short) - published_haversine_m(*short)).max() > 0.005


def test_coordinates_in_float32_move_distances_by_decimetres():
    single = [np.float32(value) for value in points(47.6, 50.0)]
    error = np.abs(published_arc_cosine_m(*single) - 50.0)
    assert error.mean() > 0.1 and 0.3 < error.max() < 0.9
