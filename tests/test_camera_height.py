# SPDX-License-Identifier: Apache-2.0
"""How certain the camera's height is: stated, guessed, or a property of the camera."""

import numpy as np
import pytest

from geodistill_core.errors import ConfigError
from geodistill_core.types import CameraModel, GroundImage, forward_optical_mount, level_mount

RGB = np.full((32, 64, 3), 90, np.uint8)
K = np.array([[30.0, 0, 31.5], [0, 30.0, 15.5], [0, 0, 1]])


def test_a_stated_height_is_exact_unless_told_otherwise():
    assert GroundImage.panorama(RGB, height_m=1.6).sigma_height_m == 0.0
    assert GroundImage.panorama(RGB, T_base_camera=level_mount(1.6)).sigma_height_m == 0.0
    image = GroundImage.panorama(RGB, height_m=1.6, sigma_height_m=0.2)
    assert (image.height_m, image.sigma_height_m) == (1.6, 0.2)


def test_a_height_that_nobody_stated_is_a_guess_and_says_so():
    image = GroundImage.panorama(RGB)
    assert (image.height_m, image.sigma_height_m) == (2.0, 0.3)
    assert GroundImage.panorama(RGB, sigma_height_m=0.0).sigma_height_m == 0.0


def test_a_pinhole_image_takes_the_camera_models_sigma_unless_given_its_own():
    camera = CameraModel(64, 32, K, sigma_height_m=0.15)
    mount = forward_optical_mount(1.5)
    assert GroundImage.pinhole(RGB, camera, mount).sigma_height_m == 0.15
    assert GroundImage.pinhole(RGB, camera, mount, sigma_height_m=0.0).sigma_height_m == 0.0
    assert GroundImage.pinhole(RGB, CameraModel(64, 32, K), mount).sigma_height_m == 0.0


@pytest.mark.parametrize("sigma_m", [-0.01, 2.01, float("nan"), float("inf")])
def test_an_impossible_sigma_is_refused_by_value_and_limit(sigma_m):
    with pytest.raises(ConfigError, match=f"sigma_height_m {sigma_m} is outside 0..2 m"):
        GroundImage.panorama(RGB, height_m=2.0, sigma_height_m=sigma_m)
    with pytest.raises(ConfigError, match="sigma_height_m"):
        CameraModel(64, 32, K, sigma_height_m=sigma_m)
