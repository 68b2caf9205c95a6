# SPDX-License-Identifier: Apache-2.0
"""The one place where a calibration acts on a covariance."""

import math

import numpy as np
import pytest

from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.localization.covariance import CovarianceScale, published, vehicle_axes
from geodistill_core.localization.estimate import EstimateConfig
from geodistill_core.models.manifest import Calibration
from tests.localization.test_localizer import IMAGE, BlankMap, Oracle, prior_near

FLOORS = EstimateConfig().floor_sigmas
MOMENTS = np.array([[4.0, 0.7, 0.01], [0.7, 1.0, -0.02], [0.01, -0.02, 0.003]])


def calibrated(**scales):
    return Calibration(temperature=1.0, samples=1, fitted_on="here", nll_before=0.0, nll_after=0.0, **scales)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.5])
def test_each_scale_acts_on_its_own_axis_of_the_vehicle(yaw):
    found = published(MOMENTS, yaw, 0.0, np.zeros(3), CovarianceScale(across=2.0, along=3.0, yaw=0.5))
    R = vehicle_axes(yaw)
    grown = (R @ found @ R.T) / (R @ MOMENTS @ R.T)
    assert grown == pytest.approx(np.outer([2.0, 3.0, 0.5], [2.0, 3.0, 0.5]))


def test_across_points_to_the_left_of_the_heading():
    assert vehicle_axes(0.0)[0] == pytest.approx([0.0, 1.0, 0.0])
    assert vehicle_axes(math.pi / 2)[1] == pytest.approx([0.0, 1.0, 0.0])


def test_the_scale_leaves_the_maps_sigma_and_the_floors_alone():
    tiny = np.diag([1e-8, 1e-8, 1e-10])
    for factor in (0.2, 1.0, 5.0):
        found = published(tiny, 0.3, 0.5, FLOORS, CovarianceScale(factor, factor, factor))
        assert found.diagonal() == pytest.approx([0.25, 0.25, FLOORS[2] ** 2], rel=1e-5)
    assert published(tiny, 0.3, 0.0, FLOORS, CovarianceScale()).diagonal() == pytest.approx(FLOORS**2)


def test_many_frames_at_once_are_as_one_by_one():
    yaw, sigma = np.array([0.1, 2.0]), np.array([0.0, 1.0])
    scale = CovarianceScale(1.5, 0.7, 2.0)
    both = published(np.stack([MOMENTS, 2 * MOMENTS]), yaw, sigma, FLOORS, scale)
    for one, moments, y, s in zip(both, (MOMENTS, 2 * MOMENTS), yaw, sigma, strict=True):
        assert one == pytest.approx(published(moments, float(y), float(s), FLOORS, scale))


def test_published_covariances_are_positive_definite_and_symmetric():
    rng = np.random.default_rng(4)
    roots = rng.normal(size=(200, 3, 3))
    found = published(roots @ roots.swapaxes(1, 2), rng.uniform(-4, 4, 200), 0.1, FLOORS, CovarianceScale(0.1, 9, 3))
    assert np.linalg.eigvalsh(found).min() > 0
    assert found == pytest.approx(found.swapaxes(1, 2))


def located(calibration):
    class Manifest:
        sha256 = "0" * 64

    manifest = Manifest()
    manifest.calibration = calibration
    localizer = Localizer(Oracle(10.0, 20.0, 0.5, sharpness=4.0), manifest, BlankMap(), LocalizerConfig(prior="flat"))
    return localizer.locate(IMAGE, prior_near(10.0, 20.0, 1.0, 0.0, 0.5)), localizer.fingerprint()


def test_n34_without_a_calibration_every_covariance_is_four_times_as_large():
    (bare, _), (stated, _) = located(None), located(calibrated())
    assert bare.covariance == pytest.approx(4.0 * stated.covariance)
    assert (bare.latitude, bare.longitude, bare.yaw_enu_rad) == (stated.latitude, stated.longitude, stated.yaw_enu_rad)


def test_the_localizer_publishes_what_the_manifest_scales():
    (plain, _), (scaled, _) = located(calibrated()), located(calibrated(scale_along=10.0))
    R = vehicle_axes(plain.yaw_enu_rad)
    across, along, yaw = (R @ scaled.covariance @ R.T).diagonal() / (R @ plain.covariance @ R.T).diagonal()
    assert across == pytest.approx(1.0) and yaw == pytest.approx(1.0) and along > 20.0


def test_runs_of_another_calibration_have_another_fingerprint():
    prints = {located(c)[1] for c in (None, calibrated(), calibrated(scale_yaw=2.0))}
    assert len(prints) == 3
