# SPDX-License-Identifier: Apache-2.0
"""Heat maps as evidence on another plane, GNSS as a likelihood with heavy tails, and what is claimed."""

import math

import numpy as np
import pytest

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.models.manifest import TrackCalibration
from geodistill_core.tracking.claim import claimed_covariance
from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.gnss_belief import GnssBelief
from geodistill_core.tracking.heat import Evidence
from geodistill_core.tracking.innovation import Innovation
from geodistill_core.tracking.particles import BIAS_EAST, Particles
from tests.tracking.world import CALIBRATION, FRAME, heatmap_of


def evidence(modes, center=(0.0, 0.0), yaw=0.3, frame=FRAME, floor=0.02, **more):
    return Evidence(heatmap_of(modes, center, yaw, **more), frame, floor)


def test_the_ratio_at_a_cell_is_its_probability_times_the_number_of_cells():
    seen = evidence([(2.25, -3.75, 0.3, 0.8, 1.0)])
    probability = seen.heatmap.probability
    east, north = seen.heatmap.axes_m()
    row, column = 54, 53
    pose = np.array([[east[column], north[row], seen.heatmap.yaw_enu_rad[2]]])
    expected = math.log(probability[2, row, column] * probability.size)
    assert expected > math.log(10.0)
    assert seen.log_ratio(pose)[0] == pytest.approx(expected, abs=1e-5)


def test_a_uniform_heat_map_changes_nothing():
    poses = np.random.default_rng(0).uniform(-20.0, 20.0, (50, 3)) * (1.0, 1.0, 0.005) + (0.0, 0.0, 0.3)
    assert evidence([]).log_ratio(poses) == pytest.approx(np.zeros(50), abs=1e-4)


def test_poses_outside_of_the_window_get_the_floor():
    seen = evidence([(0.0, 0.0, 0.3, 0.8, 1.0)])
    poses = np.array([[30.0, 0.0, 0.3], [0.0, -30.0, 0.3], [0.0, 0.0, 1.5]])
    assert seen.log_ratio(poses) == pytest.approx([math.log(0.02)] * 3)


def test_the_best_pose_is_the_same_on_a_plane_that_is_turned_against_the_tiles():
    """At 100 km the meridians have turned by about a degree."""
    far = LocalFrame(FRAME.point(100_000.0, 0.0))
    here, there = evidence([(2.0, 3.0, 0.3, 0.6, 1.0)]), evidence([(2.0, 3.0, 0.3, 0.6, 1.0)], frame=far)
    assert abs(there.turn_rad) > 0.01
    best = here.log_ratio(np.array([[2.0, 3.0, 0.3]]))[0]
    latitude, longitude = FRAME.to_geodetic(2.0, 3.0)
    east, north = far.to_enu(latitude, longitude)
    at = np.array([[float(east), float(north), 0.3 + there.turn_rad]])
    assert there.log_ratio(at)[0] == pytest.approx(best, abs=0.02)


def test_poses_are_drawn_where_heat_map_and_weight_agree():
    seen = evidence([(-8.0, 0.0, 0.3, 0.5, 1.0), (8.0, 0.0, 0.3, 0.5, 1.0)])
    east, _ = seen.cells()
    poses = seen.drawn(np.where(east > 0.0, 0.0, -20.0), 500, 1.0, np.random.default_rng(0))
    assert np.median(poses[:, 0]) == pytest.approx(8.0, abs=0.3)
    assert (poses[:, 0] > 0.0).mean() > 0.95


def believed(sigma_m=5.0, count=2000, seed=0):
    config = TrackerConfig(particles=count)
    particles = Particles(config, np.random.default_rng(seed))
    particles.start(particles.fresh(np.random.default_rng(1).normal(0.0, (0.1, 0.1, 0.01), (count, 3)), 0.0, 0.1))
    return particles, GnssBelief(config)


def test_the_bias_of_a_receiver_is_learned_from_a_sure_track():
    particles, belief = believed()
    for second in range(30):
        belief.learn(particles, np.array([4.0, -2.0]), 5.0, second * 1_000_000_000)
    bias = particles.weights() @ particles.state[:, BIAS_EAST : BIAS_EAST + 2]
    assert bias == pytest.approx([4.0, -2.0], abs=0.3)


def test_an_outlier_counts_little():
    particles, belief = believed()
    assert belief.learn(particles, np.array([1.0, 1.0]), 5.0, 0) > 0.9
    assert belief.learn(particles, np.array([300.0, 400.0]), 5.0, 1_000_000_000) < 0.01
    bias = particles.weights() @ particles.state[:, BIAS_EAST : BIAS_EAST + 2]
    assert np.hypot(*bias) < 8.0


def test_the_spread_of_a_fix_is_its_bias_and_its_noise():
    particles, belief = believed()
    belief.learn(particles, np.array([0.0, 0.0]), 5.0, 0)
    assert belief.spread_m == pytest.approx(5.0 * math.hypot(1.0, 0.2))


def test_a_claim_scales_each_axis_of_the_vehicle():
    calibration = CALIBRATION.model_copy(update={"scale_along": 2.0, "scale_across": 0.5})
    heading = math.pi / 2  # north
    P = claimed_covariance(np.diag([0.04, 0.09, 1e-3]), heading, np.zeros(3), 0.0, calibration)
    assert pytest.approx(np.diag([0.25 * 0.04, 4.0 * 0.09, 1e-3])) == P


def test_a_claim_adds_the_share_of_the_innovations_and_the_maps_own_error():
    P = claimed_covariance(np.diag([0.04, 0.04, 1e-3]), 0.0, np.array([1.0, 0.25, 0.01]), 0.3, CALIBRATION)
    assert P.diagonal() == pytest.approx([0.04 + 0.04 + 0.09, 0.04 + 0.01 + 0.09, 1e-3 + 0.04 * 0.01])


def test_n34_without_calibration_a_track_claims_four_times_its_spread():
    spread = np.diag([0.04, 0.05, 1e-3])
    assert claimed_covariance(spread, 0.7, np.ones(3), 0.0, None) == pytest.approx(4.0 * spread)


def test_n32_a_claim_is_symmetric_positive_definite_and_never_below_the_floor():
    singular = np.full((3, 3), 1e-12)
    P = claimed_covariance(singular, 1.0, np.zeros(3), 0.0, CALIBRATION)
    assert np.array_equal(P, P.T)
    np.linalg.cholesky(P)
    assert np.sqrt(P.diagonal()) == pytest.approx([0.05, 0.05, math.radians(0.15)])


def test_innovations_are_a_running_mean_over_the_way_driven():
    innovation = Innovation(20.0)
    for _ in range(60):
        innovation.learn(np.array([0.5, -0.2, 0.01]), 2.0, 0.25)
    assert innovation.mean_sq == pytest.approx([0.25, 0.04, 1e-4])
    innovation.learn(np.array([100.0, 0.0, 0.0]), 2.0, 0.25)
    assert innovation.mean_sq[0] < 0.25 + 0.11 * 9.0


def test_a_track_calibration_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="scale_along"):
        TrackCalibration(**(CALIBRATION.model_dump() | {"scale_along": 0.0}))
