# SPDX-License-Identifier: Apache-2.0
"""The localizer's frames, search window, prior and caches, with a network that knows the answer."""

import math

import numpy as np
import pytest
import torch

from geodistill_core.errors import ConfigError, NotFiniteError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.maps import MapSource
from geodistill_core.models.base import CrossViewNetwork, GroundFeatures, GroundInput, MapFeatures, MapInput
from geodistill_core.types import GeoPoint, GroundImage, MapTile, Prior, Status

IMAGE = GroundImage.panorama(np.full((64, 128, 3), 90, np.uint8), 123)


class BlankMap(MapSource):
    """Covers the Earth with grey and counts its tiles."""

    attribution = "nobody"

    def __init__(self):
        self.served = 0

    def tile(self, center, extent_m, metres_per_pixel):
        self.served += 1
        n = round(extent_m / metres_per_pixel)
        return MapTile(np.full((n, n, 3), 80, np.uint8), np.ones((n, n), bool), center, metres_per_pixel, str(center))

    def info(self):
        raise NotImplementedError

    def bounds(self):
        raise NotImplementedError

    def close(self):
        pass


class Oracle(CrossViewNetwork):
    """Logits that peak at a given pose in the world, whatever tile it is asked about."""

    metres_per_pixel, metres_per_cell, template_extent_m = 0.5, 0.5, 32.5

    def __init__(self, latitude, longitude, yaw, sharpness=1.0):
        super().__init__()
        self.pose, self.sharpness, self.center = (latitude, longitude, yaw), sharpness, None

    def prepare_map(self, tile):
        self.center = tile.center
        return MapInput(torch.zeros(1, 3, 2, 2), torch.ones(1, 2, 2), torch.tensor([0.5]))

    def prepare_ground(self, image):
        return GroundInput(torch.zeros(1), torch.zeros(1), torch.zeros(1, 3))

    def encode_map(self, tiles):
        east, north = LocalFrame(self.center).to_enu(self.pose[0], self.pose[1])
        return MapFeatures(torch.tensor([float(east), float(north)]), tiles.valid)

    def encode_ground(self, ground):
        return GroundFeatures(ground.pixels, ground.pixels, ground.mount)

    def match(self, ground, map_features, yaw):
        at_east, at_north = map_features.features
        axis = (torch.arange(96) + 0.5 - 48) * 0.5
        d2 = (axis[None, :] - at_east) ** 2 + (-axis[:, None] - at_north) ** 2
        y2 = torch.remainder(yaw[0] - self.pose[2] + math.pi, 2 * math.pi) - math.pi
        return -self.sharpness * (d2[None, None] + 100 * y2.square()[None, :, None, None])


def localizer(network, source=None, **config):
    class Uncalibrated:
        calibration, sha256 = None, "0" * 64

    return Localizer(network, Uncalibrated(), source or BlankMap(), LocalizerConfig(**config))


def prior_near(latitude, longitude, east, north, yaw, sigma_m=8.0, sigma_yaw=0.175):
    lat, lon = LocalFrame(GeoPoint(latitude, longitude)).to_geodetic(east, north)
    return Prior(float(lat), float(lon), sigma_m, yaw, sigma_yaw)


@pytest.mark.parametrize("latitude", [-68.0, -33.9, 0.0, 47.6, 69.0])
@pytest.mark.parametrize("longitude", [-122.3, 0.0, 179.99995])
@pytest.mark.parametrize("yaw", [-3.1, 0.4, 3.12])
def test_the_pose_is_found_anywhere_on_earth_at_any_heading(latitude, longitude, yaw):
    net = Oracle(latitude, longitude, yaw, sharpness=4.0)
    prior = prior_near(latitude, longitude, 9.0, -12.0, yaw + 0.1)
    result = localizer(net, prior="flat").locate(IMAGE, prior)
    east, north = LocalFrame(GeoPoint(latitude, longitude)).to_enu(result.latitude, result.longitude)
    assert math.hypot(east, north) < 0.05
    assert abs(math.remainder(result.yaw_enu_rad - yaw, 2 * math.pi)) < 0.01
    assert result.stamp_ns == 123
    assert result.status is Status.OK
    assert float(result.heatmap.probability.sum()) == pytest.approx(1.0, abs=1e-4)


def test_a_gaussian_prior_pulls_the_posterior_by_the_ratio_of_the_variances():
    likelihood_variance, sigma = 1 / (2 * 0.02), 5.0
    net = Oracle(10.0, 20.0, 0.0, sharpness=0.02)
    prior = prior_near(10.0, 20.0, 6.0, 0.0, 0.0, sigma_m=sigma)
    result = localizer(net).locate(IMAGE, prior)
    east, _ = result.heatmap.axes_m()
    at_east, _ = LocalFrame(result.heatmap.center).to_enu(10.0, 20.0)
    mean_east = float(result.heatmap.position().sum(0) @ east) - at_east
    assert mean_east == pytest.approx(6.0 * likelihood_variance / (likelihood_variance + sigma**2), abs=0.15)


def test_neighbouring_priors_share_one_encoded_tile_and_distant_ones_do_not():
    source = BlankMap()
    it = localizer(Oracle(47.6, -122.3, 0.0), source)
    for east in (0.0, 0.5, 1.0):
        it.locate(IMAGE, prior_near(47.6, -122.3, east, 0.0, 0.0))
    assert source.served <= 2
    before = source.served
    it.locate(IMAGE, prior_near(47.6, -122.3, 30.0, 0.0, 0.0))
    assert source.served == before + 1


def test_an_unknown_heading_is_searched_all_around_without_counting_a_direction_twice():
    net = Oracle(0.0, 0.0, 2.5, sharpness=4.0)
    result = localizer(net).locate(IMAGE, prior_near(0, 0, 1, 1, 0.0, sigma_yaw=10.0))
    assert abs(math.remainder(result.yaw_enu_rad - 2.5, 2 * math.pi)) < 0.02
    yaw = result.heatmap.yaw_enu_rad
    assert yaw[-1] - yaw[0] < 2 * math.pi


def test_network_output_that_is_nan_is_an_error_and_never_a_pose():
    net = Oracle(0.0, 0.0, 0.0, sharpness=float("nan"))
    with pytest.raises(NotFiniteError):
        localizer(net).locate(IMAGE, prior_near(0, 0, 0, 0, 0.0))


def test_a_single_nan_among_finite_logits_is_an_error_too():
    class OneNan(Oracle):
        def match(self, ground, map_features, yaw):
            logits = super().match(ground, map_features, yaw)
            logits[0, 0, 3, 3] = float("nan")
            return logits

    with pytest.raises(NotFiniteError, match="NaN"):
        localizer(OneNan(0.0, 0.0, 0.0)).locate(IMAGE, prior_near(0, 0, 0, 0, 0.0))


@pytest.mark.parametrize("config", [{"prior": "box"}, {"yaw_step_deg": 0.0}, {"tile_extent_m": 10.0}])
def test_absurd_settings_are_refused(config):
    with pytest.raises(ConfigError):
        LocalizerConfig(**config)


def test_a_published_decoding_rule_moves_the_answer_by_the_shift_it_states():
    plain, shifted = Oracle(10.0, 20.0, 0.0, sharpness=4.0), Oracle(10.0, 20.0, 0.0, sharpness=4.0)
    shifted.heatmap_shift_cells = (-0.5, -1.0)
    prior = prior_near(10.0, 20.0, 3.0, 0.0, 0.0)
    here, there = (localizer(net, prior="flat").locate(IMAGE, prior) for net in (plain, shifted))
    east, north = LocalFrame(here.point).to_enu(there.latitude, there.longitude)
    assert (east, north) == pytest.approx((-0.25, 0.5), abs=1e-3)
