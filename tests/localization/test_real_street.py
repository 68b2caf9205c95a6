# SPDX-License-Identifier: Apache-2.0
"""A real panorama on its real satellite tile: the projection lines up, and the shipped network finds the place."""

import math

import cv2
import numpy as np
import pytest
from real_street import CAMERA_HEIGHT_M, NEEDS_SAMPLE, open_street

from geodistill_core import GroundImage, Localizer, LocalizerConfig, Prior
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.geometry.ground_plane import overhead_view

pytestmark = NEEDS_SAMPLE
NORTH = math.pi / 2


@pytest.fixture(scope="module")
def street():
    rgb, truth, source = open_street()
    return GroundImage.panorama(rgb, height_m=CAMERA_HEIGHT_M), truth, source


def markings(rgb, scale_px=6):
    """What is brighter than its surroundings, in units of their contrast: paint and kerbs."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.5)
    above = grey - cv2.GaussianBlur(grey, (0, 0), scale_px)
    contrast = np.sqrt(cv2.GaussianBlur(above**2, (0, 0), scale_px)) + 3
    return np.clip(above / contrast, 0, None)


def test_markings_of_the_projected_panorama_lie_on_those_of_the_tile(street):
    image, truth, source = street
    view, _ = overhead_view(image, 6.0, 0.1, NORTH)
    tile = source.tile(truth, 28.0, 0.1)
    scores = cv2.matchTemplate(markings(tile.rgb), markings(view), cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert math.hypot(column - 80, row - 80) * 0.1 < 1.0


@pytest.mark.parametrize("prior", ["gaussian", "flat"])
def test_the_shipped_network_finds_the_real_panorama_from_a_fix_eleven_metres_off(street, prior):
    image, truth, source = street
    localizer = Localizer.load("tiny", source, LocalizerConfig(prior=prior))
    estimate = localizer.locate(image, Prior(47.57665, -122.29850, 8.0, NORTH, math.radians(10)))
    east_m, north_m = LocalFrame(truth).to_enu(estimate.latitude, estimate.longitude)
    assert math.hypot(east_m, north_m) < 3.0
    assert abs(math.remainder(estimate.yaw_enu_rad - NORTH, 2 * math.pi)) < math.radians(5)
    np.linalg.cholesky(estimate.covariance)
