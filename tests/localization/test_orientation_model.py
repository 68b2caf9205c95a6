# SPDX-License-Identifier: Apache-2.0
"""An orientation network's belief about the heading joins the heat map's; the tile it reads is its own size."""

import math

import pytest

from geodistill_core.errors import ConfigError
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.models.manifest import Calibration
from tests.localization.test_localizer import IMAGE, BlankMap, Oracle, prior_near


class Compass:
    """Stands in for an orientation network that saw the vehicle head `offset` to the left of the reference."""

    map_size_px, metres_per_pixel = 100, 0.5

    def __init__(self, offset, sigma):
        self.offset, self.sigma, self.tiles = offset, sigma, []

    def prepare_map(self, tile):
        self.tiles.append(tile.rgb.shape)
        return tile

    def encode_map(self, tile):
        return tile

    def prepare_ground(self, image, reference_yaw_enu_rad):
        return reference_yaw_enu_rad

    def encode_ground(self, reference):
        return reference

    def match(self, reference, tile, yaw):
        return (-0.5 * ((yaw - reference - self.offset) / self.sigma) ** 2)[..., None, None]


class Blind(Oracle):
    """Knows where, but not which way."""

    def match(self, ground, map_features, yaw):
        return super().match(ground, map_features, yaw.new_full(yaw.shape, self.pose[2]))


class Manifest:
    calibration = Calibration(temperature=1.0, samples=1, fitted_on="nothing", nll_before=0.0, nll_after=0.0)
    sha256 = "0" * 64


def located(orientation):
    network = Blind(10.0, 20.0, 0.0, sharpness=4.0)
    localizer = Localizer(network, Manifest(), BlankMap(), LocalizerConfig(prior="flat"), orientation)
    return localizer.locate(IMAGE, prior_near(10.0, 20.0, 1.0, 0.0, 0.5, sigma_yaw=0.2))


def test_the_heading_follows_the_orientation_network_where_the_heat_map_knows_none():
    assert located(Compass(math.radians(12.0), 0.03)).yaw_enu_rad == pytest.approx(0.5 + math.radians(12.0), abs=0.01)
    assert located(None).yaw_enu_rad == pytest.approx(0.5, abs=0.01)


def test_its_certainty_narrows_the_claimed_heading():
    sharp, wide = located(Compass(0.0, 0.03)), located(None)
    assert sharp.covariance[2, 2] < wide.covariance[2, 2] / 4
    assert sharp.covariance[2, 2] == pytest.approx(0.03**2, rel=0.35)


def test_it_reads_tiles_of_its_own_size():
    compass = Compass(0.0, 0.1)
    located(compass)
    assert compass.tiles == [(100, 100, 3)]


def test_a_checkpoint_of_another_kind_is_refused_as_orientation_model():
    with pytest.raises(ConfigError, match="no orientation network"):
        Localizer.load("tiny", BlankMap(), LocalizerConfig(orientation_model="tiny"))
