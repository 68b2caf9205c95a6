# SPDX-License-Identifier: Apache-2.0
"""Evidence under a belief about the pose, and what the localizer gives for it."""

import math

import numpy as np
import pytest

from geodistill_core import GroundImage, Localizer, LocalizerConfig, Prior
from geodistill_core.camera import BodyMount
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.planar_pose import GeoPose
from geodistill_core.maps import RasterSource
from geodistill_core.tracking.mount.evidence import PoseBelief, log_evidence
from geodistill_core.types import GeoPoint, HeatMap

CENTER = GeoPoint(47.0, 8.0)
YAW = math.radians(20.0) + np.array([-0.05, 0.0, 0.05])


@pytest.fixture(scope="module")
def localizer():
    rgb = np.random.default_rng(4).integers(0, 255, (1200, 1200, 3), dtype=np.uint8)
    return Localizer.load("tiny", RasterSource(rgb, CENTER, 0.125, ""), LocalizerConfig(prior="flat"))


def picture(height_m=2.0):
    rgb = np.random.default_rng(5).integers(0, 255, (128, 256, 3), dtype=np.uint8)
    return GroundImage.panorama(rgb, height_m=height_m)


def test_likelihoods_are_those_that_the_heat_map_is_made_of(localizer):
    step = math.radians(localizer.config.yaw_step_deg)
    found = localizer.locate(picture(), Prior(47.0, 8.0, 3.0, 0.3, 0.4 * step)).heatmap
    (log_p,) = localizer.log_likelihoods(picture(), CENTER, found.yaw_enu_rad, np.zeros(1))
    p = np.exp(log_p.probability - log_p.probability.max())
    np.testing.assert_allclose(p / p.sum(), found.probability, atol=1e-7)
    assert (log_p.center, log_p.metres_per_cell) == (found.center, found.metres_per_cell)


def test_offsets_in_any_order_are_those_of_other_stated_heights(localizer):
    answers = localizer.log_likelihoods(picture(), CENTER, YAW, np.array([0.0, 0.3, -0.2]))
    for answer, height_m in zip(answers, (2.0, 2.3, 1.8), strict=True):
        (alone,) = localizer.log_likelihoods(picture(height_m), CENTER, YAW, np.zeros(1))
        np.testing.assert_allclose(answer.probability, alone.probability, atol=2e-3)


def test_the_density_is_the_gaussian_of_the_pose_with_its_correlations():
    P = np.array([[4.0, 1.0, 0.02], [1.0, 3.0, -0.01], [0.02, -0.01, 0.01]])
    point = LocalFrame(CENTER).point(1.0, -2.0)
    belief = PoseBelief.of(GeoPose(point.latitude, point.longitude, 0.3, P), 0.1, 0.01)
    grid = HeatMap(np.zeros((2, 4, 4)), CENTER, 2.0, np.array([0.25, 0.4]))
    found = belief.log_density(grid)
    east, north = grid.axes_m()
    for y, r, c in [(0, 0, 0), (1, 3, 1), (0, 2, 3)]:
        d = np.array([east[c] - 1.0, north[r] + 2.0, grid.yaw_enu_rad[y] - 0.3])
        assert found[y, r, c] == pytest.approx(-0.5 * d @ np.linalg.inv(P) @ d, rel=1e-5)


def test_a_track_that_knows_better_than_a_wrong_mount_allows_is_widened():
    belief = PoseBelief.of(GeoPose(47.0, 8.0, 0.3, np.diag([0.01, 0.02, 1e-5])), 1.0, 0.02)
    assert belief.covariance.diagonal() == pytest.approx([1.0, 1.0, 0.0004])
    assert np.diff(belief.yaws()) == pytest.approx([0.02] * 4) and belief.yaws()[2] == 0.3


def test_the_evidence_is_the_sum_over_poses():
    rng = np.random.default_rng(0)
    log_p, log_density = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 3))
    heatmap = HeatMap(log_p + 800.0, CENTER, 1.0, np.zeros(2))
    assert log_evidence(heatmap, log_density) == pytest.approx(800 + math.log(np.exp(log_p + log_density).sum()))
    assert log_evidence(HeatMap(np.full((1, 1, 1), -np.inf), CENTER, 1.0, np.zeros(1)), np.zeros(1)) == -np.inf


@pytest.mark.parametrize("optical", [False, True])
def test_a_mount_is_read_from_its_matrix(optical):
    mount = BodyMount(0.4, -0.2, 1.7, 0.03, -0.2, 3.0)
    found = BodyMount.of(mount.matrix(optical=optical), optical=optical)
    np.testing.assert_allclose(
        [found.x_m, found.y_m, found.z_m, found.roll_rad, found.pitch_rad, found.yaw_rad],
        [0.4, -0.2, 1.7, 0.03, -0.2, 3.0],
        atol=1e-12,
    )
