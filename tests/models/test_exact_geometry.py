# SPDX-License-Identifier: Apache-2.0
"""Noise-free features of one world, seen from above and from the ground, must meet at the true pose.

The encoders are replaced by the truth: a smooth world evaluated where each feature cell really looks. What remains is
geometry: `corrected` finds the pose, `compat` shows the published code's biases.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geodistill_core.errors import ConfigError
from geodistill_core.geometry.ground_plane import pixels_of_ground
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.exact_overhead import FeatureCells, panorama_pixels, pinhole_pixels
from geodistill_core.models.registry import build
from geodistill_core.types import CameraModel, GroundImage, forward_optical_mount

PANORAMIC = ["g2sweakly_vigor", "geodistill_vigor_dino"]
PINHOLE = ["g2sweakly_kitti", "geodistill_kitti_vgg", "geodistill_kitti_dino"]
K = torch.tensor([[[582.9802, 0.0, 496.2420], [0.0, 482.7076, 125.0034], [0.0, 0.0, 1.0]]])
CHANNELS = 6


class World:
    """Smooth random features over the plane: per channel a sum of waves, 14 to 50 m long."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        wavelength = rng.uniform(14.0, 50.0, (CHANNELS, 5))
        bearing = rng.uniform(0, 2 * math.pi, (CHANNELS, 5))
        self.k = 2 * math.pi / wavelength[..., None] * np.stack([np.cos(bearing), np.sin(bearing)], axis=-1)
        self.phase = rng.uniform(0, 2 * math.pi, (CHANNELS, 5))

    def features(self, east, north):
        """[1, C, H, W] at metres east and north [H, W]."""
        waves = np.sin(
            self.k[..., 0, None, None] * east + self.k[..., 1, None, None] * north + self.phase[..., None, None]
        )
        return torch.from_numpy(waves.sum(axis=1)).float().unsqueeze(0)


def posed(network, world, east, north, yaw, mount):
    """The network with encoders that see the world: the map around (0, 0), the camera on a base at (east, north)."""
    c, s = math.cos(yaw), math.sin(yaw)

    def map_levels(rgb, levels):
        found = {}
        for number in levels:
            level = network.level(number)
            axis = (
                (np.arange(level.map_cells) + 0.5 - level.map_cells / 2) * level.map_stride * network.metres_per_pixel
            )
            found[number] = world.features(axis[None, :] + 0 * axis[:, None], -axis[:, None] + 0 * axis[None, :])
        return found

    def ground_levels(pixels, first_row):
        return {number: (ground_view(network.level(number))[:, :, row:], None) for number, row in first_row.items()}

    def ground_view(level):
        rows, columns = level.ground_size
        cells = level.ground
        u = (np.arange(columns) + 0.5) * cells.stride - cells.pad_left - 0.5
        v = (np.arange(rows) + 0.5) * cells.stride - cells.pad_top - 0.5
        forward, left = (panorama_ground if network.panoramic else pinhole_ground)(u[None, :], v[:, None])
        forward, left = forward + mount[0], left + mount[1]
        return world.features(east + c * forward - s * left, north + s * forward + c * left)

    def panorama_ground(u, v):
        height, width = network.image_size
        azimuth = ((u + 0.5) / width - 0.5) * 2 * math.pi
        depression = np.maximum(((v + 0.5) / height - 0.5) * math.pi, 0.01)
        distance = mount[2] / np.tan(depression)
        return distance * np.cos(azimuth), -distance * np.sin(azimuth)

    def pinhole_ground(u, v):
        fx, fy, cx, cy = (float(K[0, i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        depth = fy * mount[2] / np.maximum(v - cy, 1.0)
        return depth + 0 * u, -(u - cx) / fx * depth

    network.map_levels, network.ground_levels = map_levels, ground_levels
    return network


def matched(name, geometry, seed, yaw, place, mount):
    """Error of the peak east and north in cells, and its similarity, for a base at `place` (cells from the centre)."""
    network = build(name, geometry=geometry).eval()
    cell = network.metres_per_cell
    posed(network, World(seed), place[0] * cell, place[1] * cell, yaw, mount)
    H, W = network.image_size
    intrinsics = None if network.panoramic else K
    ground = GroundInput(torch.zeros(1, 3, H, W), torch.ones(1, H, W), torch.tensor([mount]), intrinsics)
    size = network.map_size_px
    tile = MapInput(torch.zeros(1, 3, size, size), torch.ones(1, size, size), torch.tensor([network.metres_per_pixel]))
    with torch.inference_mode():
        maps = network.encode_map(tile)
        similarity = network.similarity(network.encode_ground(ground), maps, torch.tensor([[yaw]]))[0, 0]
    row, column = divmod(int(similarity.argmax()), similarity.shape[1])
    middle, (shift_east, shift_south) = (similarity.shape[0] - 1) / 2, network.heatmap_shift_cells
    right, down = vertex(similarity, row, column)
    east, north = column + right - middle + shift_east, middle - row - down - shift_south
    return east - place[0], north - place[1], float(similarity.max())


def vertex(surface, row, column):
    """Columns and rows from the highest cell to the vertex of the paraboloid through its neighbourhood."""
    y, x = np.mgrid[-1:2, -1:2].reshape(2, -1)
    values = surface[row - 1 : row + 2, column - 1 : column + 2].double().numpy().ravel()
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    _, bx, by, axx, ayy, axy = np.linalg.lstsq(terms, values, rcond=None)[0]
    return np.linalg.solve([[2 * axx, axy], [axy, 2 * ayy]], [-bx, -by])


@pytest.mark.parametrize("name", PANORAMIC + PINHOLE)
@pytest.mark.parametrize(
    ("yaw", "place", "mount"),
    [
        (math.pi / 2, (0.0, 0.0), (0.0, 0.0, 2.0)),
        (0.0, (8.0, -5.0), (0.0, 0.0, 1.65)),
        (2.4, (-11.3, 6.6), (1.2, -0.4, 1.8)),
        (-2.9, (4.5, 9.25), (0.0, 0.3, 1.5)),
    ],
)
def test_corrected_geometry_peaks_at_the_truth(name, yaw, place, mount):
    east, north, similarity = matched(name, "corrected", 5, yaw, place, mount)
    assert math.hypot(east, north) < 0.1
    assert similarity > 0.99


@pytest.mark.parametrize("name", PANORAMIC + PINHOLE)
def test_compat_geometry_shows_the_published_bias(name):
    yaw, height = (math.pi / 2, 2.0) if name in PANORAMIC else (0.0, 1.65)
    east, north, similarity = matched(name, "compat", 5, yaw, (0.0, 0.0), (0.0, 0.0, height))
    assert math.hypot(east, north) > 0.2 or similarity < 0.95


def test_ground_points_appear_where_the_camera_geometry_of_images_puts_them():
    rng = np.random.default_rng(8)
    forward, left = rng.uniform(2, 20, (3, 4)), rng.uniform(-15, 15, (3, 4))
    height, camera = 1.7, CameraModel(1024, 256, K[0].double().numpy())
    points = [torch.from_numpy(x).float()[None, None] for x in (forward, left)]
    seen = {
        "panorama": (
            GroundImage.panorama(np.zeros((320, 640, 3), np.uint8), height_m=height),
            panorama_pixels(*points, torch.tensor(height), (320, 640)),
        ),
        "pinhole": (
            GroundImage.pinhole(np.zeros((256, 1024, 3), np.uint8), camera, forward_optical_mount(height)),
            pinhole_pixels(*points, torch.tensor(height), K),
        ),
    }
    for image, (column, row) in seen.values():
        wanted_column, wanted_row, _ = pixels_of_ground(image, forward, left)
        assert np.allclose(column[0, 0].numpy(), wanted_column, atol=2e-3)
        assert np.allclose(row[0, 0].numpy(), wanted_row, atol=2e-3)


@pytest.mark.parametrize(("stride", "pad_left", "pad_top"), [(1.0, 0, 0), (2.0, 40, 0), (8.0, 0, 3), (1.75, 16, 1)])
def test_a_features_index_is_where_the_middle_of_its_pixels_lies(stride, pad_left, pad_top):
    """Feature k covers pixels from k strides to k + 1 strides after the padded image's edge; pixel i is [i, i + 1]."""
    k = torch.arange(5.0)
    middle = (k + 0.5) * stride - 0.5
    column, row = FeatureCells(stride, pad_left, pad_top).index(middle - pad_left, middle - pad_top)
    assert torch.allclose(column, k, atol=1e-5) and torch.allclose(row, k, atol=1e-5)


def drawn(name, geometry, yaw, height):
    """The template of a ground view that is one everywhere, and its confidence [k, k]."""
    network = build(name, geometry=geometry).eval()
    network.ground_levels = lambda pixels, first_row: {
        n: (torch.ones(1, 1, network.level(n).ground_size[0] - row, network.level(n).ground_size[1]), None)
        for n, row in first_row.items()
    }
    H, W = network.image_size
    ground = GroundInput(
        torch.zeros(1, 3, H, W),
        torch.ones(1, H, W),
        torch.tensor([[0.0, 0.0, height]]),
        None if network.panoramic else K,
    )
    number = network.levels[-1]
    with torch.inference_mode():
        template, confidence = network.template(
            network.encode_ground(ground), number, torch.tensor([[yaw]]), torch.tensor([network.metres_per_pixel])
        )
    return template[0, 0, 0], torch.ones_like(template[0, 0, 0]) if confidence is None else confidence[0, 0]


@pytest.mark.parametrize(("geometry", "torn"), [("corrected", False), ("compat", True)])
def test_only_the_published_panorama_is_torn_straight_behind_the_camera(geometry, torn):
    template, confidence = drawn("g2sweakly_vigor", geometry, math.pi / 2, 2.0)
    behind = (template * confidence)[
        template.shape[0] // 2 + 4 :, template.shape[1] // 2 - 2 : template.shape[1] // 2 + 2
    ]
    assert bool((behind == 0).any()) == torn


@pytest.mark.parametrize(("geometry", "counted"), [("corrected", False), ("compat", True)])
def test_only_the_published_correlation_counts_cells_that_no_camera_saw(geometry, counted):
    template, confidence = drawn("geodistill_kitti_vgg", geometry, 0.0, 1.65)
    behind_camera = slice(0, template.shape[1] // 2 - 2)
    assert bool((confidence[:, behind_camera] > 0).any()) == counted
    if counted:
        assert bool((template[:, behind_camera] == 0).all())


@pytest.mark.parametrize("name", ["g2sweakly_vigor", "g2sweakly_kitti"])
def test_missing_imagery_is_ruled_out_and_does_not_disturb_the_rest(name):
    network = build(name).eval()
    cell, mount = network.metres_per_cell, (0.0, 0.0, 2.0)
    posed(network, World(3), 12 * cell, 4 * cell, 0.3, mount)
    seen = network.map_levels

    def with_rubbish(rgb, levels):
        found = seen(rgb, levels)
        for features in found.values():
            features[..., : features.shape[-1] * 13 // 32] = 1e3
        return found

    network.map_levels = with_rubbish
    H, W = network.image_size
    size = network.map_size_px
    valid = torch.ones(1, size, size)
    valid[..., : size * 13 // 32] = 0.0
    tile = MapInput(torch.zeros(1, 3, size, size), valid, torch.tensor([network.metres_per_pixel]))
    intrinsics = None if network.panoramic else K
    ground = GroundInput(torch.zeros(1, 3, H, W), torch.ones(1, H, W), torch.tensor([mount]), intrinsics)
    with torch.inference_mode():
        maps = network.encode_map(tile)
        logits = network.match(network.encode_ground(ground), maps, torch.tensor([[0.3]]))[0, 0]
    middle = (logits.shape[0] - 1) / 2
    row, column = divmod(int(logits.argmax()), logits.shape[1])
    assert (column - middle, middle - row) == (12, 4)
    assert torch.isfinite(logits[:, -1]).all()
    assert torch.isneginf(logits[:, 0]).all()


def test_tiles_coarser_than_the_network_was_built_for_are_refused():
    network = build("g2sweakly_vigor").eval()
    tile = MapInput(torch.zeros(1, 3, 512, 512), torch.ones(1, 512, 512), torch.tensor([0.2]))
    ground = GroundInput(torch.zeros(1, 3, 320, 640), torch.ones(1, 320, 640), torch.tensor([[0.0, 0.0, 2.0]]))
    with torch.inference_mode(), pytest.raises(ConfigError, match="metres_per_pixel"):
        network.match(network.encode_ground(ground), network.encode_map(tile), torch.tensor([[0.0]]))


@pytest.mark.parametrize("name", ["geodistill_vigor_dino", "geodistill_kitti_dino"])
def test_padding_around_the_tile_is_no_map(name):
    network = build(name).eval()
    size, level = network.map_size_px, network.level(2)
    tile = MapInput(torch.zeros(1, 3, size, size), torch.ones(1, size, size), torch.tensor([network.metres_per_pixel]))
    network.map_levels = lambda rgb, levels: {n: torch.ones(1, 1, level.map_cells, level.map_cells) for n in levels}
    correlation = network.encode_map(tile).correlation[2]
    spectrum = correlation.weight.conj().transpose(-2, -1)  # rows before columns' frequencies
    inside = torch.fft.irfft2(spectrum)[0, 0, : level.map_cells, : level.map_cells]
    padding = (level.map_cells * level.map_stride - size) / 2 / level.map_stride
    assert inside[0, level.map_cells // 2] == pytest.approx(0.0, abs=1e-4)
    assert float(inside.sum()) == pytest.approx((level.map_cells - 2 * padding) ** 2, rel=1e-2)
    assert inside[level.map_cells // 2, level.map_cells // 2] == pytest.approx(1.0, abs=1e-4)
