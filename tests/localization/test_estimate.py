# SPDX-License-Identifier: Apache-2.0
"""Heat map moments, modes and status against closed forms and Monte Carlo."""

import math

import numpy as np
import pytest

from geodistill_core.errors import NotFiniteError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.estimate import EstimateConfig, covariance_about, estimate, find_modes, posterior
from geodistill_core.types import GeoPoint, HeatMap, MapTile, Mode, Status

CENTER = GeoPoint(47.6, -122.3)
CONFIG = EstimateConfig()
YAW_STEP = math.radians(3)
P_TRUE = np.array([[1.44, 0.5, 0.03], [0.5, 0.81, -0.02], [0.03, -0.02, 0.01]])


def grid(cells=96, yaw_count=21, yaw_step=YAW_STEP, yaw_center=1.0):
    yaw = yaw_center + yaw_step * (np.arange(yaw_count) - yaw_count // 2)
    return HeatMap(np.zeros((yaw_count, cells, cells), np.float32), CENTER, 0.5, yaw)


def gaussian(mean, covariance, empty=None, weight=1.0):
    empty = empty or grid()
    east, north = empty.axes_m()
    d = np.stack(
        np.broadcast_arrays(
            (east - mean[0])[None, None, :],
            (north - mean[1])[None, :, None],
            (empty.yaw_enu_rad - mean[2])[:, None, None],
        ),
        axis=-1,
    )
    p = np.exp(-0.5 * np.einsum("...i,ij,...j", d, np.linalg.inv(covariance), d))
    return weight * p / p.sum()


def heatmap(p, empty=None):
    empty = empty or grid()
    return HeatMap((p / p.sum()).astype(np.float32), empty.center, empty.metres_per_cell, empty.yaw_enu_rad)


def tile():
    return MapTile(np.zeros((320, 320, 3), np.uint8), np.ones((320, 320), bool), CENTER, 0.25, "t")


def test_moments_of_a_gaussian_heat_map_are_its_covariance_plus_the_cell_variance():
    mean = (3.2, -5.7, 1.02)
    P = covariance_about(heatmap(gaussian(mean, P_TRUE)), Mode(*mean, 1.0))
    cell = np.diag([0.25 / 12, 0.25 / 12, math.radians(3) ** 2 / 12])
    np.testing.assert_allclose(P, P_TRUE + cell, atol=2e-3)


def test_pose_of_a_sharp_peak_is_sub_cell_accurate():
    mean = (3.2, -5.7, 1.02)
    result = estimate(heatmap(gaussian(mean, np.diag([0.09, 0.09, 0.002]))), tile(), 5, CONFIG)
    east, north = LocalFrame(CENTER).to_enu(result.latitude, result.longitude)
    assert math.hypot(east - mean[0], north - mean[1]) < 0.02
    assert result.yaw_enu_rad == pytest.approx(mean[2], abs=0.003)
    assert result.status is Status.OK
    assert result.stamp_ns == 5


def test_yaw_moments_survive_the_seam_of_the_circle():
    empty = grid(yaw_center=math.pi)
    result = estimate(
        heatmap(gaussian((0, 0, math.pi + 0.01), np.diag([0.3, 0.3, 0.01]), empty), empty), tile(), 0, CONFIG
    )
    assert abs(math.remainder(result.yaw_enu_rad - (math.pi + 0.01), 2 * math.pi)) < 0.003
    assert result.covariance[2, 2] == pytest.approx(0.01 + math.radians(3) ** 2 / 12, rel=0.05)


def test_two_equal_modes_twenty_metres_apart_are_ambiguous_and_the_covariance_spans_both():
    narrow = np.diag([0.2, 0.2, 0.004])
    p = gaussian((-10, 0, 1.0), narrow) + gaussian((10, 0, 1.0), narrow)
    result = estimate(heatmap(p), tile(), 0, CONFIG)
    assert result.status is Status.AMBIGUOUS
    assert len(result.modes) == 2
    assert np.linalg.eigvalsh(result.covariance[:2, :2])[-1] >= 100


def test_the_covariance_is_about_the_pose_and_not_about_the_mean_of_two_modes():
    """A quarter of the mass 8 m to the east: 16 m^2 about the pose, 12 about the mean."""
    sharp = np.diag([0.09, 0.09, 0.002])
    found = heatmap(gaussian((-4.0, 1.0, 1.0), sharp, weight=0.75) + gaussian((4.0, 1.0, 1.0), sharp, weight=0.25))
    P = covariance_about(found, Mode(-4.0, 1.0, 1.0, 0.75))
    assert P[0, 0] == pytest.approx(16.0 + 0.09 + 0.25 / 12, abs=0.05)


def test_modes_are_ordered_by_mass_and_carry_their_own_yaw():
    narrow = np.diag([0.2, 0.2, 0.004])
    p = gaussian((-8, 4, 0.9), narrow, weight=0.3) + gaussian((6, -3, 1.1), narrow, weight=0.7)
    modes = find_modes(heatmap(p), CONFIG)
    assert [round(m.mass, 1) for m in modes] == [0.7, 0.3]
    assert modes[0].yaw_enu_rad == pytest.approx(1.1, abs=0.01)
    assert (modes[1].east_m, modes[1].north_m) == pytest.approx((-8, 4), abs=0.05)


@pytest.mark.parametrize("corner", [(0, 0), (11, 17)])
def test_a_mode_is_the_disc_with_the_most_mass_and_its_mean_even_in_a_corner(corner):
    rng = np.random.default_rng(4)
    p = rng.random((5, 12, 18))
    p[:, corner[0], corner[1]] += 30.0
    found = heatmap(p, HeatMap(p, CENTER, 0.5, 0.1 * np.arange(5)))
    east, north = np.meshgrid(*found.axes_m())
    discs = np.hypot(east - east[..., None, None], north - north[..., None, None]) <= CONFIG.mode_radius_m
    position = found.probability.astype(float).sum(axis=0)
    masses = (discs * position).sum(axis=(2, 3))
    row, column = np.unravel_index(masses.argmax(), masses.shape)
    inside, mode = discs[row, column] * position, find_modes(found, CONFIG)[0]
    assert mode.mass == pytest.approx(masses.max())
    assert mode.east_m == pytest.approx((inside * east).sum() / inside.sum())
    assert mode.north_m == pytest.approx((inside * north).sum() / inside.sum())
    by_yaw = (found.probability * discs[row, column]).sum(axis=(1, 2))
    assert mode.yaw_enu_rad == pytest.approx(np.angle((by_yaw * np.exp(1j * found.yaw_enu_rad)).sum()), abs=1e-6)


def test_a_uniform_heat_map_is_uninformative_and_as_uncertain_as_its_window():
    result = estimate(heatmap(np.ones((21, 96, 96))), tile(), 0, CONFIG)
    assert result.status is Status.UNINFORMATIVE
    assert result.covariance[0, 0] >= 48**2 / 12


@pytest.mark.parametrize("at", [(23.6, 0.0), (0.0, -23.6)])
def test_n31_a_peak_at_the_window_edge_is_flagged_and_as_uncertain_as_a_window_that_says_nothing(at):
    P = np.diag([0.2, 0.2, 0.004])
    result = estimate(heatmap(gaussian((*at, 1.0), P)), tile(), 0, CONFIG)
    inside = estimate(heatmap(gaussian((0.0, 0.0, 1.0), P)), tile(), 0, CONFIG)
    assert (result.status, inside.status) == (Status.EDGE, Status.OK)
    assert min(result.covariance[0, 0], result.covariance[1, 1]) >= 48**2 / 12
    assert result.covariance[2, 2] == pytest.approx(inside.covariance[2, 2], rel=0.1)
    assert inside.covariance[:2, :2].max() < 1.0


def test_covariance_of_any_random_heat_map_is_positive_definite_and_above_the_floor():
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random((5, 24, 24)) ** rng.integers(1, 60)
        result = estimate(heatmap(p, grid(24, 5)), tile(), 0, CONFIG)
        np.linalg.cholesky(result.covariance)
        assert result.covariance[2, 2] >= CONFIG.floor_sigma_yaw_rad**2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_a_heat_map_that_is_not_a_distribution_is_refused(bad):
    p = np.full((3, 24, 24), 1 / (3 * 24 * 24), np.float32)
    p[1, 2, 3] = bad
    with pytest.raises(NotFiniteError):
        estimate(HeatMap(p, CENTER, 0.5, np.array([0.0, 0.05, 0.1])), tile(), 0, CONFIG)


def test_float32_offsets_far_from_the_origin_do_not_spoil_the_moments():
    far = grid()
    shifted = HeatMap(far.probability, far.center, far.metres_per_cell, far.yaw_enu_rad + 2e3 * math.pi)
    mean = (20.0, -20.0, 1.0 + 2e3 * math.pi)
    P = covariance_about(heatmap(gaussian(mean, P_TRUE / 4, shifted), shifted), Mode(*mean, 1.0))
    assert P[0, 0] == pytest.approx(P_TRUE[0, 0] / 4 + 0.25 / 12, rel=1e-3)


def test_a_posterior_keeps_ratios_and_gives_nothing_to_what_is_out_of_reach():
    log_p = np.full((2, 3, 3), -math.inf)
    log_p[0, 0, :2], log_p[1, 1, 1], log_p[1, 2, 2] = (500.0, 500.0 - math.log(3)), 500.0 - 60.0, 500.0 - 90.0
    p = posterior(log_p, grid(3, 2)).probability
    assert p.dtype == np.float32 and p.sum() == pytest.approx(1.0)
    assert p[0, 0, 0] / p[0, 0, 1] == pytest.approx(3.0)
    assert p[1, 1, 1] == pytest.approx(0.75 * math.exp(-60.0), rel=1e-5)
    smallest = np.finfo(np.float32).tiny
    assert ((p == 0) | (p >= smallest)).all() and p[1, 2, 2] == 0 and (p[0, 1:] == 0).all()
