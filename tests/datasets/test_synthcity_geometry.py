# SPDX-License-Identifier: Apache-2.0
"""A point on the ground appears where geometry says, in the tile and in every kind of ground image."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from geodistill_core.datasets.synthcity import (
    CameraRig,
    Conditions,
    GroundPose,
    build_city,
    render_ground,
    render_overhead,
)
from geodistill_core.datasets.synthcity.rigs import pinhole_rig

CLEAR = Conditions(cars=False, shadow=0.0, visibility_m=1e9)
TEXEL_M = 0.125


@pytest.fixture(scope="module")
def bare_city():
    """A city of nothing but black ground."""
    city = build_city("downtown", 3, 240.0)
    side = len(city.ground[0])
    levels = tuple(np.zeros((side >> k, side >> k, 4), np.uint8) for k in range(4))
    return replace(
        city,
        buildings=city.buildings[:0],
        trees=city.trees[:0],
        poles=city.poles[:0],
        slots=city.slots[:0],
        kerbs=np.zeros_like(city.kerbs),
        ground=levels,
        _maps={0.0: np.zeros((side, side, 4), np.uint8)},
    )


def with_disc(city, east, north, radius=0.5):
    """A white disc of ground in both views."""
    half = city.size_m / 2

    def paint(image, texel):
        centres = (np.arange(len(image)) + 0.5) * texel
        x, y = np.meshgrid(centres - half, half - centres)
        inside = np.clip((radius - np.hypot(x - east, y - north)) / texel + 0.5, 0, 1)
        out = image.copy()
        out[..., :3] = (255 * inside[..., None]).astype(np.uint8)
        return out

    ground = tuple(paint(level, TEXEL_M * 2**k) for k, level in enumerate(city.ground))
    return replace(city, ground=ground, _maps={0.0: paint(city._maps[0.0], TEXEL_M)})


def centroid(rgb, below=0):
    """Intensity centroid in edge coordinates (column, row) of what is bright, from row `below` down."""
    grey = rgb[..., 1].astype(float)
    grey[:below] = 0
    grey[grey < 12] = 0
    rows, columns = np.indices(grey.shape)
    return np.array([((columns + 0.5) * grey).sum(), ((rows + 0.5) * grey).sum()]) / grey.sum()


@pytest.mark.parametrize("metres_per_pixel", [0.125, 0.2, 0.25, 0.5])
def test_a_disc_lies_in_the_tile_where_its_coordinates_say(bare_city, metres_per_pixel):
    east, north = 20.3, -14.7
    city = with_disc(bare_city, east, north, radius=0.8)
    rgb, valid = render_overhead(city, 11.17, -5.41, 60.0, metres_per_pixel, CLEAR)
    expected = [
        rgb.shape[1] / 2 + (east - 11.17) / metres_per_pixel,
        rgb.shape[0] / 2 - (north + 5.41) / metres_per_pixel,
    ]
    assert valid.all()
    assert np.abs(centroid(rgb) - expected).max() < 0.25


def attitude(yaw, roll, pitch):
    """R_world_base = Rz(yaw) Ry(pitch) Rx(roll), REP-103."""
    cy, sy, cp, sp, cr, sr = (*(f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin)),)
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    return rz @ ry @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])


def expected_centroid(rays_base, T_lever, R, disc, radius):
    """Centroid of the pixels whose rays meet the ground inside the disc (edges as soft as a texel)."""
    rays = rays_base @ R.T
    camera = R @ T_lever
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(rays[..., 2] < -0.02, -camera[2] / rays[..., 2], np.nan)
        east, north = camera[0] + reach * rays[..., 0], camera[1] + reach * rays[..., 1]
        inside = np.clip((radius - np.hypot(east - disc[0], north - disc[1])) / TEXEL_M + 0.5, 0, 1)
    return centroid(np.repeat(np.nan_to_num(255 * inside)[..., None], 3, axis=2))


def panorama_rays(width, height):
    """Centre column ahead (x), azimuth clockwise, top row zenith, pixel centres at half-integers."""
    azimuth = 2 * math.pi * ((np.arange(width) + 0.5) / width - 0.5)
    elevation = math.pi * (0.5 - (np.arange(height)[:, None] + 0.5) / height)
    x, y = np.cos(elevation) * np.cos(azimuth), -np.cos(elevation) * np.sin(azimuth)
    return np.stack([x, y, np.broadcast_to(np.sin(elevation), x.shape)], axis=2)


@pytest.mark.parametrize("size", [(1024, 512), (640, 320), (512, 640)])
@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.05, 0.0), (0.0, 0.05), (-0.04, 0.03)])
@pytest.mark.parametrize("delta", [(6.0, 2.0), (-4.0, 7.0), (1.5, -8.0), (-9.0, -5.0), (0.8, 1.1)])
def test_a_disc_appears_in_the_panorama_where_its_direction_points(bare_city, size, tilt, delta):
    east, north, yaw, height = 3.2, 4.1, 0.7, 1.9
    radius = 0.04 * math.hypot(*delta) + 0.15
    city = with_disc(bare_city, east + delta[0], north + delta[1], radius)
    rgb = render_ground(city, GroundPose(east, north, yaw, *tilt, height), CameraRig("panorama", *size), CLEAR)
    expected = expected_centroid(panorama_rays(*size), np.array([0, 0, height]), attitude(yaw, *tilt), delta, radius)
    assert np.abs(centroid(rgb, below=int(size[1] * 0.53)) - expected).max() < 0.5


def test_positive_roll_drops_the_right_side_and_positive_pitch_drops_the_nose(bare_city):
    rig, height = CameraRig("panorama", 1024, 512), 2.0
    for delta, tilt in (((0.0, -8.0), (0.05, 0.0)), ((8.0, 0.0), (0.0, 0.05))):
        city = with_disc(bare_city, *delta)
        level = centroid(render_ground(city, GroundPose(0, 0, 0, 0, 0, height), rig, CLEAR), below=270)
        tilted = centroid(render_ground(city, GroundPose(0, 0, 0, *tilt, height), rig, CLEAR), below=240)
        assert tilted[1] < level[1] - 0.8 * 0.05 / math.pi * 512


@pytest.mark.parametrize("delta", [(8.0, 1.0), (14.0, -3.0), (6.0, -2.0)])
def test_a_disc_appears_in_the_distorted_pinhole_image_where_opencv_projects_it(bare_city, delta):
    rig = pinhole_rig(960, 540, 85.0, (-0.15, 0.03, 0.001, -0.001, 0.0), 1.7, math.radians(4))
    yaw, roll, pitch, east, north = -0.9, 0.02, -0.015, -7.0, 12.0
    R, T_camera_base = attitude(yaw, roll, pitch), np.linalg.inv(rig.mount)
    disc = (attitude(yaw, 0, 0) @ [*delta, 0.0])[:2]
    city = with_disc(bare_city, *(disc + np.array([east, north])), 0.3)
    rgb = render_ground(city, GroundPose(east, north, yaw, roll, pitch, 1.7), rig, CLEAR)
    r, a = np.meshgrid(np.sqrt(np.linspace(0.01, 1, 40)) * 0.3, np.linspace(0, 2 * math.pi, 60, endpoint=False))
    points = np.stack([disc[0] + r * np.cos(a), disc[1] + r * np.sin(a), 0 * r], axis=2).reshape(-1, 3)
    in_camera = (points @ R) @ T_camera_base[:3, :3].T + T_camera_base[:3, 3]
    pixels, _ = cv2.projectPoints(in_camera, np.zeros(3), np.zeros(3), rig.camera.K, np.array(rig.camera.distortion))
    found = centroid(rgb, below=285) - 0.5  # OpenCV's pixel centres are integers
    assert np.abs(found - pixels[:, 0].mean(axis=0)).max() < 0.5
