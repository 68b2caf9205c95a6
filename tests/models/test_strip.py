# SPDX-License-Identifier: Apache-2.0
"""The canonical strip is the same whether the whole panorama is averaged or only the rows that it shows."""

import cv2
import numpy as np
import pytest

from geodistill_core.models.strip import StripGeometry, ground_strip
from geodistill_core.types import GroundImage

TILTS = [(0.0, 0.0), (0.3, -0.2), (-0.7, 0.75)]


def noise(height, width):
    return np.random.default_rng(4).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("roll", "pitch"), TILTS)
def test_averaging_the_rows_that_are_seen_is_averaging_the_whole_panorama(roll, pitch):
    rgb = noise(1024, 2048)
    averaged = cv2.resize(rgb, (512, 1024), interpolation=cv2.INTER_AREA)
    strips = [
        ground_strip(GroundImage.panorama(picture, height_m=2.0, roll_rad=roll, pitch_rad=pitch), StripGeometry())
        for picture in (rgb, averaged)
    ]
    assert np.array_equal(strips[0][0], strips[1][0])


def test_of_a_level_panorama_the_sky_and_the_vehicle_do_not_matter():
    rgb = noise(1024, 2048)
    other = rgb.copy()
    other[:420], other[900:] = 0, 255
    strips = [ground_strip(GroundImage.panorama(picture, height_m=2.0), StripGeometry())[0] for picture in (rgb, other)]
    assert np.array_equal(strips[0], strips[1])


@pytest.mark.parametrize("shape", [(16, 32), (17, 64), (64, 128)])
def test_panoramas_of_a_few_rows_have_a_strip(shape):
    rgb, share = ground_strip(GroundImage.panorama(noise(*shape), height_m=2.0), StripGeometry())
    assert rgb.shape == (192, 256, 3)
    assert share.min() == 1.0


def test_rows_that_are_twice_too_fine_are_averaged_and_not_thinned_out():
    stripes = np.zeros((512, 1024, 3), np.uint8)
    stripes[:, ::2] = 200
    rgb, _ = ground_strip(GroundImage.panorama(stripes, height_m=2.0), StripGeometry())
    assert (rgb == 100).all()
