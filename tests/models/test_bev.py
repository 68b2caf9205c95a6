# SPDX-License-Identifier: Apache-2.0
"""Overhead pictures of a world that is known at every point: waves painted on flat ground."""

import math

import numpy as np
import pytest
import torch

from geodistill_core.geometry.ground_plane import directions
from geodistill_core.models.bev import (
    exact_view,
    focal_px,
    published_bev,
    published_bev_uint8,
    published_grid,
    published_roll,
    published_view,
    to_two_to_one,
)
from geodistill_core.types import CameraModel, GroundImage, forward_optical_mount

NORTH = math.pi / 2
SIZE = 192
TILE_M = 0.126
HEIGHT_M = 2.0


def paint(east, north):
    """Grey levels of the ground; no two directions look alike."""
    waves = np.sin(1.1 * east + 0.4) + np.sin(0.9 * north - 0.7) + np.sin(0.6 * east - 0.8 * north)
    return 128 + 35 * waves


def rays_to_ground(rays, yaw):
    down = np.maximum(-rays[..., 2], 1e-9)
    forward, left = rays[..., 0] / down * HEIGHT_M, rays[..., 1] / down * HEIGHT_M
    c, s = math.cos(yaw), math.sin(yaw)
    return c * forward - s * left, s * forward + c * left


def panorama(yaw=NORTH, height=1024, width=2048):
    azimuth = ((np.arange(width) + 0.5) / width - 0.5) * 2 * math.pi
    depression = ((np.arange(height) + 0.5) / height - 0.5) * math.pi
    grey = paint(*rays_to_ground(directions(azimuth[None, :], depression[:, None]), yaw))
    grey[depression < 0.02] = 128
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)


def looking_ahead(yaw):
    K = np.array([[300.0, 0.0, 255.5], [0.0, 300.0, 99.5], [0.0, 0.0, 1.0]])
    u, v = np.meshgrid(np.arange(512), np.arange(384))
    rays = np.stack([np.ones(u.shape), -(u - 255.5) / 300, -(v - 99.5) / 300], axis=-1)
    grey = np.where(rays[..., 2] < -0.02, paint(*rays_to_ground(rays, yaw)), 128)
    rgb = np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)
    return GroundImage.pinhole(rgb, CameraModel(512, 384, K), forward_optical_mount(HEIGHT_M))


def misfit(picture, seen=None, metres=TILE_M, turn=0.0, moved_px=0.0):
    """Mean grey difference from the world drawn at `metres` a pixel, 1.5 to 8 m around, turned and moved."""
    axis = np.arange(SIZE) + 0.5 - SIZE / 2 - moved_px
    east, north = np.meshgrid(axis * metres, -axis * metres)
    distance = np.hypot(east, north)
    ring = (distance > 1.5) & (distance < 8.0) & (True if seen is None else seen)
    c, s = math.cos(turn), math.sin(turn)
    world = paint(c * east - s * north, s * east + c * north)
    return float(np.abs(picture[..., 0].astype(float) - world)[ring].mean())


def turn_left_over(picture, metres=TILE_M):
    """Degrees by which the picture's world is turned."""
    candidates = np.arange(-1.0, 1.001, 0.05)
    return float(candidates[np.argmin([misfit(picture, None, metres, math.radians(d)) for d in candidates])])


@pytest.mark.parametrize("yaw", [NORTH, 0.3, -2.0])
def test_exact_picture_shows_every_point_of_the_ground_in_its_place(yaw):
    picture, seen = exact_view(GroundImage.panorama(panorama(yaw)), yaw, TILE_M, SIZE)
    assert seen.all()
    assert misfit(picture) < 2.5


def test_published_picture_has_a_scale_of_its_own_and_is_off_by_half_a_pixel():
    picture, _ = published_view(GroundImage.panorama(panorama()), NORTH, SIZE)
    its_scale = HEIGHT_M / focal_px(SIZE)
    assert misfit(picture) > 20.0  # at the tile's scale it shows another place
    # The panorama's outermost pixel centres are taken for its borders, which alone costs some grey levels.
    assert misfit(picture, metres=its_scale, moved_px=0.5) < misfit(picture, metres=its_scale) < 20.0


def test_published_picture_of_the_data_set_has_nine_centimetres_a_pixel():
    assert HEIGHT_M / focal_px(512) == pytest.approx(0.0893, abs=1e-4)


def test_headings_between_panorama_columns_are_kept_by_the_exact_picture_only():
    turned = NORTH + math.radians(0.45)  # a column of the published panorama is 0.5625 degrees
    image = GroundImage.panorama(panorama(turned))
    exact = turn_left_over(exact_view(image, turned, TILE_M, SIZE)[0])
    published = turn_left_over(published_view(image, turned, SIZE)[0], HEIGHT_M / focal_px(SIZE))
    assert abs(exact) <= 0.05
    assert abs(published) >= 0.35


def test_published_roll_drops_parts_of_a_column_and_turns_counter_clockwise():
    rgb = panorama(height=320, width=640)
    assert np.array_equal(published_roll(rgb, math.radians(0.56)), rgb)
    assert np.array_equal(published_roll(rgb, math.radians(-0.56)), rgb)
    assert np.array_equal(published_roll(rgb, math.radians(0.57))[:, 1:], rgb[:, :-1])


def test_a_pinhole_image_fills_the_sector_that_it_sees_and_leaves_the_rest_black():
    yaw = 0.4
    picture, seen = exact_view(looking_ahead(yaw), yaw, TILE_M, SIZE)
    row, column = np.mgrid[:SIZE, :SIZE]
    east, north = column + 0.5 - SIZE / 2, SIZE / 2 - row - 0.5
    ahead = math.cos(yaw) * east + math.sin(yaw) * north
    assert 0.1 < seen.mean() < 0.5
    assert not seen[ahead < 0].any()
    assert not picture[~seen].any()
    assert misfit(picture, seen) < 2.5


def test_pinhole_images_may_be_projected_by_published_conventions_too():
    picture, seen = published_view(looking_ahead(NORTH), NORTH, SIZE)
    assert 0.1 < seen.mean() < 0.5
    assert misfit(picture, seen, metres=HEIGHT_M / focal_px(SIZE)) < 2.5


def test_published_grid_looks_down_at_pixel_half_its_size_and_north_up():
    grid = published_grid(64)
    assert grid[32, 32, 1] == pytest.approx(1.0)  # the nadir is the panorama's bottom
    assert grid[:32, 32, 0].abs().max() < 1e-6  # above the centre: the centre column, north
    assert grid[32, 33:, 0] == pytest.approx(0.5)  # right of it: three quarters, east
    assert grid[32, :32, 0] == pytest.approx(-0.5)
    assert grid[0, 32, 1] == pytest.approx(1 - 2 * 85 / 180, abs=1e-3)  # half of 170 degrees from the nadir


def test_shifting_the_camera_turns_the_nadir_away_from_the_centre():
    tilted = published_grid(64, dx=40.0)
    assert tilted[32, 32, 1] == pytest.approx(1 - 2 * (360 * 40 / 640) / 180, abs=1e-5)


def test_a_cropped_panorama_keeps_its_horizon_in_the_middle():
    full = panorama(height=320, width=640)
    cropped = to_two_to_one(full[32:-32])
    assert cropped.shape == full.shape
    assert np.array_equal(cropped[32:-32], full[32:-32])
    assert not cropped[:31].any() and not cropped[-31:].any()
    assert np.array_equal(to_two_to_one(full, 5.0)[5:], full[:-5])


def test_the_data_set_cuts_off_parts_of_a_grey_level():
    rgb = panorama(height=320, width=640)
    found = published_bev(rgb, published_grid(SIZE)).permute(1, 2, 0).numpy()
    stored = published_bev_uint8(rgb, SIZE)
    assert np.array_equal(stored, np.floor(np.clip(found, 0, 255)))
    assert 0.4 < (found - stored).mean() < 0.6


def test_rows_beyond_the_panorama_are_black():
    above = published_grid(16).clone()
    above[..., 1] = -1.5
    assert torch.count_nonzero(published_bev(panorama(height=320, width=640), above)) == 0
