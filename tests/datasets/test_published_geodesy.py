# SPDX-License-Identifier: Apache-2.0
"""The published approximations of distance and resolution against what they approximate."""

import numpy as np
import pytest

from geodistill_core.datasets.published_geodesy import published_metres_per_pixel, published_offset_m

EQUATOR_M = 6_378_137.0


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
