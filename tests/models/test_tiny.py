# SPDX-License-Identifier: Apache-2.0
"""The strip and the projection of `tiny` against rays computed by hand, and its equivariance."""

import math

import numpy as np
import pytest
import torch

from geodistill_core.models.base import GroundFeatures, MapFeatures
from geodistill_core.models.strip import StripGeometry, ground_strip, strip_coordinates
from geodistill_core.models.tiny import Tiny
from geodistill_core.types import CameraModel, GeoPoint, GroundImage, MapTile, forward_optical_mount

GEOMETRY = StripGeometry()


def spot_panorama(azimuth, depression, width=2048, height=1024, radius=5):
    rgb = np.zeros((height, width, 3), np.uint8)
    column = width * (0.5 + azimuth / (2 * math.pi)) - 0.5
    row = height * (0.5 + depression / math.pi) - 0.5
    rr, cc = np.mgrid[:height, :width]
    rgb[((cc - column + width / 2) % width - width / 2) ** 2 + (rr - row) ** 2 <= radius**2] = 255
    return rgb


def centroid(strip):
    weight = strip[..., 0].astype(float)
    rr, cc = np.mgrid[: strip.shape[0], : strip.shape[1]]
    return (weight * (cc + 0.5)).sum() / weight.sum() / strip.shape[1], (
        weight * (rr + 0.5)
    ).sum() / weight.sum() / strip.shape[0]


@pytest.mark.parametrize(("azimuth", "depression"), [(0.0, 0.2), (1.0, 0.35), (-2.5, 0.5), (2.9, 0.15)])
def test_a_spot_in_the_panorama_lands_where_the_analytic_projection_says(azimuth, depression):
    strip, visible = ground_strip(GroundImage.panorama(spot_panorama(azimuth, depression)), GEOMETRY)
    distance = 2.0 / math.tan(depression)
    column, row = strip_coordinates(
        torch.tensor(distance * math.cos(azimuth)),
        torch.tensor(-distance * math.sin(azimuth)),
        torch.tensor(2.0),
        GEOMETRY,
    )
    got = centroid(strip)
    assert abs(got[0] - float(column)) * GEOMETRY.width < 0.4
    assert abs(got[1] - float(row)) * GEOMETRY.height < 0.6
    assert visible.min() == 1.0


def test_row_spacing_and_its_inverse_agree():
    fraction = np.linspace(0, 1, 50)
    back = GEOMETRY.row_fraction(torch.from_numpy(GEOMETRY.depression(fraction))).numpy()
    np.testing.assert_allclose(back, fraction, atol=1e-9)


def test_measured_tilt_is_taken_out_of_the_strip():
    pitch = 0.06
    level, _ = ground_strip(GroundImage.panorama(spot_panorama(0.0, 0.3)), GEOMETRY)
    nose_down, _ = ground_strip(GroundImage.panorama(spot_panorama(0.0, 0.3 - pitch), pitch_rad=pitch), GEOMETRY)
    assert abs(centroid(level)[1] - centroid(nose_down)[1]) * GEOMETRY.height < 0.3


def test_a_pinhole_camera_fills_only_its_field_of_view():
    camera = CameraModel(640, 480, np.array([[320.0, 0, 319.5], [0, 320.0, 239.5], [0, 0, 1]]))
    image = GroundImage.pinhole(np.full((480, 640, 3), 200, np.uint8), camera, forward_optical_mount(1.6))
    strip, visible = ground_strip(image, GEOMETRY)
    assert visible.max() == 1.0
    row = GEOMETRY.height // 3
    seen = np.flatnonzero(visible[row] > 0.5)
    assert len(seen) / GEOMETRY.width == pytest.approx(0.25, abs=0.02)
    assert abs(seen.mean() + 0.5 - GEOMETRY.width / 2) < 1
    assert strip[visible == 0].max() == 0


def test_features_are_laid_north_up_for_the_hypothesised_yaw():
    network = Tiny()
    rows, columns = GEOMETRY.height // 2, GEOMETRY.width // 2
    features = torch.zeros(1, 8, rows, columns)
    features[:, :, :, columns // 2 - 1 : columns // 2 + 1] = 1.0
    ground = GroundFeatures(features, torch.ones(1, rows, columns), torch.tensor([[0.0, 0.0, 2.0]]))
    laid, _ = network.lay_out(ground, torch.tensor([[0.0, math.pi / 2]]))
    center = network.cells // 2
    east_ray, north_ray = laid[0, 0, 0, center, center + 10], laid[0, 1, 0, center - 10, center]
    assert float(east_ray) > 0.9
    assert float(north_ray) > 0.9
    assert float(laid[0, 0, 0, center - 10, center]) == 0
    assert float(laid[0, 1, 0, center, center + 10]) == 0


def test_logits_cover_the_window_and_are_minus_infinity_where_the_map_ends():
    torch.manual_seed(0)
    network = Tiny().eval()
    rng = np.random.default_rng(0)
    valid = np.ones((320, 320), bool)
    valid[:, 160:] = False
    tile = MapTile(rng.integers(0, 255, (320, 320, 3), np.uint8) * valid[..., None], valid, GeoPoint(0, 0), 0.25, "k")
    with torch.inference_mode():
        ground = network.encode_ground(network.prepare_ground(GroundImage.panorama(spot_panorama(0.3, 0.3))))
        logits = network.match(ground, network.encode_map(network.prepare_map(tile)), torch.tensor([[0.0, 0.3]]))
    assert logits.shape == (1, 2, 64, 64)
    assert torch.isfinite(logits[..., :20]).all()
    assert torch.isneginf(logits[..., -10:]).all()


def test_the_network_stays_within_its_size():
    assert sum(p.numel() for p in Tiny().parameters()) <= 3_000_000


def test_features_at_another_height_are_those_of_an_image_taken_there():
    torch.manual_seed(0)
    network, yaw, rgb = Tiny().eval(), torch.tensor([[0.4]]), spot_panorama(0.3, 0.3)
    with torch.inference_mode():
        low, high = (
            network.encode_ground(network.prepare_ground(GroundImage.panorama(rgb, height_m=height)))
            for height in (1.4, 2.6)
        )
        for moved, taken in ((network.at_height(low, 2.6), high), (network.at_height(high, 1.4), low)):
            for found, wanted in zip(network.lay_out(moved, yaw), network.lay_out(taken, yaw), strict=True):
                assert torch.equal(found, wanted)
    assert not torch.equal(network.lay_out(low, yaw)[0], network.lay_out(high, yaw)[0])


def constant_ground_and_map(valid):
    """Ground and map that are the same constant: the similarity is 1 wherever there is map."""
    rows, columns = GEOMETRY.height // 2, GEOMETRY.width // 2
    mount = torch.tensor([[0.0, 0.0, 2.0]])
    ground = GroundFeatures(torch.ones(1, 8, rows, columns), torch.ones(1, rows, columns), mount)
    return ground, MapFeatures(torch.ones(1, 8, *valid.shape[1:]), valid)


def test_half_of_the_ground_on_the_map_is_half_of_the_evidence():
    network = Tiny().eval()
    valid = torch.ones(1, 137, 137)
    valid[:, :, 69:] = 0.0
    with torch.inference_mode():
        pair, yaw = constant_ground_and_map(valid), torch.zeros(1, 1)
        logits = network.match(*pair, yaw)[0, 0] / float(network.log_scale.exp())
        similarity, _ = network.similarity(*pair, yaw)
    whole, half = logits[20, 0], logits[20, 20]  # the template's middle column is 48 cells further
    assert float(whole) == pytest.approx(0.75, abs=0.05)
    assert float(half) == pytest.approx(0.5, abs=0.02)
    assert float(similarity[0, 0, 20, 20]) == pytest.approx(1.0, rel=1e-3)


def test_on_a_whole_map_logits_are_the_scaled_similarity_to_the_bit():
    torch.manual_seed(0)
    network = Tiny().eval()
    rows, columns = GEOMETRY.height // 2, GEOMETRY.width // 2
    ground = GroundFeatures(
        torch.randn(1, 8, rows, columns), torch.rand(1, rows, columns), torch.tensor([[0.0, 0.0, 2.0]])
    )
    maps, yaw = MapFeatures(torch.randn(1, 8, 160, 160), torch.ones(1, 160, 160)), torch.tensor([[0.0, 1.0]])
    with torch.inference_mode():
        similarity, _ = network.similarity(ground, maps, yaw)
        assert torch.equal(network.match(ground, maps, yaw), similarity * network.log_scale.exp())
