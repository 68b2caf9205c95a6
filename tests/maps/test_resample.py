# SPDX-License-Identifier: Apache-2.0
"""Pixels of a raster in memory against arithmetic on the raster's own array."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps import RasterSource
from geodistill_core.maps.grid import PixelGrid
from geodistill_core.maps.resample import resample
from geodistill_core.maps.target import PlaneTarget
from geodistill_core.types import GeoPoint

PLACE = GeoPoint(47.37, 8.54)
PLACES = [PLACE, GeoPoint(-33.9, 151.2), GeoPoint(60.2, 180.0), GeoPoint(0.0, 0.0)]


def noise(side: int = 800, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def blocks(rgb: np.ndarray, factor: int) -> np.ndarray:
    side = rgb.shape[0] // factor
    return rgb.reshape(side, factor, side, factor, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("place", PLACES)
def test_tile_at_the_raster_resolution_is_the_raster_bit_by_bit(place):
    rgb = noise()
    tile = RasterSource(rgb, place, 0.1).tile(place, 40.0, 0.1)
    assert np.array_equal(tile.rgb, rgb[200:600, 200:600])
    assert tile.valid.all() and tile.center == place and tile.metres_per_pixel == 0.1


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 16])
def test_shrinking_by_whole_factors_is_the_mean_over_the_area(factor):
    rgb = noise()
    tile = RasterSource(rgb, PLACE, 0.1).tile(PLACE, 76.8, 0.1 * factor)
    assert np.abs(tile.rgb - blocks(rgb[16:784, 16:784], factor)).max() <= 1.01


def test_a_whole_pixel_shift_of_the_centre_shifts_the_tile():
    rgb = noise()
    east_7_south_3 = LocalFrame(PLACE).point(0.7, -0.3)
    tile = RasterSource(rgb, PLACE, 0.1).tile(east_7_south_3, 40.0, 0.1)
    assert np.abs(tile.rgb.astype(int) - rgb[203:603, 207:607]).max() <= 1


def test_half_a_pixel_shift_is_the_mean_of_neighbours():
    rgb = noise()
    tile = RasterSource(rgb, PLACE, 0.1).tile(LocalFrame(PLACE).point(0.05, 0.0), 40.0, 0.1)
    expected = (rgb[200:600, 200:600].astype(float) + rgb[200:600, 201:601]) / 2
    assert np.abs(tile.rgb - expected).max() <= 1.0


@pytest.mark.parametrize("metres_per_pixel", [0.0675, 0.13, 0.17, 0.23, 0.31, 0.47, 0.9, 2.1])
def test_stripes_finer_than_the_tile_s_pixels_blur_to_grey_instead_of_aliasing(metres_per_pixel):
    rgb = np.zeros((1600, 1600, 3), np.uint8)
    rgb[:, ::2] = 200
    tile = RasterSource(rgb, PLACE, 0.05).tile(PLACE, 60.0, metres_per_pixel)
    # The mean over a width of r source pixels deviates from grey by at most half a stripe: 100 / r.
    assert np.abs(tile.rgb.astype(float) - 100.0).max() <= 100.0 * 0.05 / metres_per_pixel + 3.0
    assert tile.rgb.mean() == pytest.approx(100.0, abs=1.0)


def wave(x: np.ndarray) -> np.ndarray:
    """Up and down in steps of 8 within 64 pixels."""
    return 8.0 * np.abs((x + 32.0) % 64.0 - 32.0)


class BentGrid(PixelGrid):
    """A wave along x = 1.2 east + bend; `bend_px` is how far the picture's corners lie off a straight map."""

    def __init__(self, bend_px: float) -> None:
        self.frame, self.bend_px = LocalFrame(PLACE), bend_px

    def x(self, east_px: np.ndarray) -> np.ndarray:
        return 1000.0 + 1.2 * east_px + self.bend_px * (east_px / 250.0) ** 2

    def to_pixel(self, latitude, longitude):
        east, north = self.frame.to_enu(latitude, longitude)
        return self.x(east / 0.1), 1000.0 - 1.2 * north / 0.1

    def read(self, window):
        row = wave(window.column + np.arange(window.width) + 0.5)
        picture = np.broadcast_to(np.rint(row)[None, :, None], (window.height, window.width, 3))
        return picture.astype(np.uint8), np.ones(picture.shape[:2], bool)


@pytest.mark.parametrize("bend_px", [0.0, 0.005, 0.02, 0.5, 8.0])
def test_a_bent_map_is_followed(bend_px):
    grid = BentGrid(bend_px)
    rgb, _ = resample(PlaneTarget(PLACE, 500, 0.1), grid)
    at = grid.x(np.arange(500) + 0.5 - 250.0)
    expected = wave(at)
    smooth = (expected > 16.0) & (expected < 240.0)
    off_px = np.abs(rgb[250, :, 0] - expected)[smooth] / 8.0
    assert off_px.max() < 0.2 and off_px.mean() < 0.06


def area_weights(side: int, reach: float, ratio: float) -> np.ndarray:
    """[side, 800]: the share of each raster pixel in each of `side` tile pixels around the raster's middle."""
    edges = 400.0 + (np.arange(side + 1) / side - 0.5) * reach
    raster = np.arange(800)
    covered = np.minimum(edges[1:, None], raster + 1) - np.maximum(edges[:-1, None], raster)
    return np.clip(covered, 0.0, None) / ratio


@pytest.mark.parametrize("ratio", [1.05, 1.2, 1.35, 1.39, 1.45, 1.8])
def test_shrinking_by_any_factor_is_nearly_the_mean_over_the_area(ratio):
    rgb = noise()
    tile = RasterSource(rgb, PLACE, 0.1).tile(PLACE, 400 * 0.1 * ratio, 0.1 * ratio)
    weights = area_weights(400, 400 * ratio, ratio)
    expected = np.einsum("ik,klc,jl->ijc", weights, rgb.astype(float), weights, optimize=True)
    # Of white noise, the hardest picture; one bilinear sample a pixel is off by 0.16 of its spread at 1.35.
    assert np.sqrt(np.mean((tile.rgb - expected) ** 2)) < (0.12 if ratio < 1.1 else 0.1) * rgb.std()


@settings(max_examples=30, deadline=None)
@given(st.floats(-70, 70), st.floats(-180, 180), st.floats(-25, 25), st.floats(-25, 25), st.floats(0.08, 0.6))
def test_a_bump_appears_where_its_coordinates_say(lat, lon, east, north, metres_per_pixel):
    place = GeoPoint(lat, lon)
    yy, xx = np.mgrid[0:800, 0:800] + 0.5
    column, row = 400 + east / 0.1, 400 - north / 0.1
    bump = 255 * np.exp(-((xx - column) ** 2 + (yy - row) ** 2) / (2 * 8.0**2))
    source = RasterSource(np.repeat(bump[..., None], 3, axis=2).astype(np.uint8), place, 0.1)
    center = LocalFrame(place).point(3.0, -2.0)
    tile = source.tile(center, 66.0, metres_per_pixel)
    weight = tile.rgb[..., 0].astype(float)
    rows, columns = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]] + 0.5
    found = tile.pixel_to_enu((weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum())
    assert found == pytest.approx((east - 3.0, north + 2.0), abs=0.02)


def test_outside_the_raster_is_not_valid_and_black_and_the_edge_is_in_place():
    rgb = np.full((200, 200, 3), 180, np.uint8)
    tile = RasterSource(rgb, PLACE, 0.5).tile(LocalFrame(PLACE).point(50.0, 0.0), 40.0, 0.25)
    assert np.array_equal(tile.valid, np.broadcast_to(np.arange(160) < 80, (160, 160)))
    assert (tile.rgb[tile.valid] == 180).all() and (tile.rgb[~tile.valid] == 0).all()


def test_a_hole_in_the_raster_does_not_darken_its_rim():
    rgb, valid = np.full((400, 400, 3), 90, np.uint8), np.ones((400, 400), bool)
    valid[150:250, 150:250] = False
    rgb[~valid] = 0
    tile = RasterSource(rgb, PLACE, 0.1, valid=valid).tile(PLACE, 36.0, 0.23)
    assert (tile.rgb[tile.valid] == 90).all() and (tile.rgb[~tile.valid] == 0).all()
    assert (~tile.valid).sum() * 0.23**2 == pytest.approx(100.0, rel=0.03)


def test_key_tells_content_and_place_apart_and_nothing_else():
    rgb = noise(400)
    source = RasterSource(rgb, PLACE, 0.1)
    tile = source.tile(PLACE, 20.0, 0.1)
    assert RasterSource(rgb.copy(), PLACE, 0.1, "other name").tile(PLACE, 20.0, 0.1).key == tile.key
    changed = rgb.copy()
    changed[200, 200] ^= 1
    others = [
        RasterSource(changed, PLACE, 0.1).tile(PLACE, 20.0, 0.1),
        source.tile(PLACE, 20.0, 0.2),
        source.tile(PLACE, 19.0, 0.1),
        source.tile(LocalFrame(PLACE).point(0.5, 0.0), 20.0, 0.1),
    ]
    assert len({tile.key, *(other.key for other in others)}) == 5


def test_large_tiles_are_seamless_across_their_blocks():
    smooth = cv2.GaussianBlur(noise(1400), (0, 0), 4.0)
    place = LocalFrame(PLACE).point(1.234, -0.987)
    source = RasterSource(smooth, PLACE, 0.1)
    whole, part = source.tile(place, 120.0, 0.1), source.tile(place, 60.0, 0.1)
    assert np.abs(whole.rgb[300:900, 300:900].astype(int) - part.rgb).max() <= 1


@pytest.mark.parametrize("extent_m, metres_per_pixel", [(0, 1), (10, 0), (10, 1), (1e6, 0.1), (np.nan, 1)])
def test_impossible_tiles_are_refused(extent_m, metres_per_pixel):
    with pytest.raises(ConfigError):
        RasterSource(noise(64), PLACE, 0.1).tile(PLACE, extent_m, metres_per_pixel)


def test_a_tile_without_any_imagery_names_place_and_nearest_coverage():
    source = RasterSource(noise(100), PLACE, 1.0)
    with pytest.raises(MapError, match=r"80 m tile at 47\.36\d+, 8\.55\d+.*nearest coverage is 9\d\d m away"):
        source.tile(LocalFrame(PLACE).point(1000.0, 0.0), 80.0, 0.25)


def test_bounds_hold_the_corners_on_both_sides_of_the_antimeridian():
    bounds = RasterSource(noise(100), GeoPoint(10.0, 180.0), 1.0).bounds()
    assert bounds.west > 179.9 and bounds.east < -179.9
    frame = LocalFrame(GeoPoint(10.0, 180.0))
    assert all(bounds.contains(frame.point(e, n)) for e in (-49.9, 49.9) for n in (-49.9, 49.9))
    assert not bounds.contains(frame.point(50.2, 0.0)) and not bounds.contains(frame.point(0.0, -50.2))


def test_malformed_rasters_are_refused():
    with pytest.raises(MapError):
        RasterSource(noise(64).astype(np.float32), PLACE, 0.1)
    with pytest.raises(MapError):
        RasterSource(noise(64), PLACE, 0.1, valid=np.ones((3, 3), bool))
    with pytest.raises(MapError):
        RasterSource(noise(64), PLACE, 0.0)


def test_a_closed_map_says_so():
    with RasterSource(noise(64), PLACE, 1.0) as source:
        source.tile(PLACE, 32.0, 1.0)
    with pytest.raises(MapError, match="closed"):
        source.tile(PLACE, 32.0, 1.0)
