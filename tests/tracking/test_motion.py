# SPDX-License-Identifier: Apache-2.0
"""Steps between images: by odometry, by attitude, by nothing; and a summary that is carried on."""

import math

import numpy as np
import pytest

from geodistill_core.localization.readings import AttitudeReading, MotionReading, Readings
from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.motion import Motion, motion_over
from geodistill_core.tracking.particles import EAST, NORTH, YAW, Particles
from geodistill_core.tracking.reckoning import carried
from geodistill_core.tracking.summary import Summary, summarize

SECOND = 1_000_000_000


def motions(speed, rate, until_s, step_s=0.05):
    stamps = range(0, round(until_s * SECOND) + 1, round(step_s * SECOND))
    return tuple(MotionReading(stamp + SECOND, speed, rate) for stamp in stamps)


@pytest.mark.parametrize(("speed", "rate"), [(8.0, 0.0), (8.0, 0.5), (-3.0, 0.2)])
def test_a_step_is_the_arc_that_speed_and_yaw_rate_describe(speed, rate):
    moved = motion_over(Readings(motions=motions(speed, rate, 2.0)), SECOND, 2 * SECOND)
    ahead = speed * math.sin(rate) / rate if rate else speed
    left = speed * (1.0 - math.cos(rate)) / rate if rate else 0.0
    assert (moved.ahead_m, moved.left_m, moved.turn_rad) == pytest.approx((ahead, left, rate), abs=2e-3)
    assert (moved.seconds, moved.blind_s, moved.turn_measured) == pytest.approx((1.0, 0.0, True))


def test_without_odometry_the_turn_comes_from_the_attitude_across_the_cut_at_180_degrees():
    attitudes = tuple(AttitudeReading(SECOND + stamp, 0.0, 0.0, yaw, 0.1) for stamp, yaw in ((0, 3.1), (SECOND, -3.1)))
    moved = motion_over(Readings(attitudes=attitudes), SECOND, 2 * SECOND)
    assert moved.turn_rad == pytest.approx(2 * math.pi - 6.2)
    assert moved.turn_measured
    assert moved.blind_s == pytest.approx(1.0)
    assert moved.speed_mps is None


def test_time_that_runs_back_is_no_step():
    assert motion_over(Readings(motions=motions(8.0, 0.0, 1.0)), 2 * SECOND, SECOND) == Motion(0.0)


def test_the_carried_summary_agrees_with_the_particles():
    """First-order covariance against 20 000 drawn steps, within a tenth."""
    config = TrackerConfig(particles=20_000)
    rng = np.random.default_rng(5)
    particles = Particles(config, rng)
    poses = np.array([3.0, -4.0, 1.0]) + rng.normal(0.0, [0.3, 0.2, 0.03], (20_000, 3))
    state = particles.fresh(poses, 8.0, 0.0)
    particles.start(state)
    before = summarize(particles)
    motion = motion_over(Readings(motions=motions(8.0, 0.3, 2.0)), SECOND, 2 * SECOND)
    after = carried(before, motion, config)
    particles.move(motion)
    drawn = summarize(particles)
    assert after.pose == pytest.approx(drawn.pose, abs=0.02)
    assert after.covariance == pytest.approx(drawn.covariance, abs=0.02)
    assert after.covariance[2, 2] == pytest.approx(drawn.covariance[2, 2], rel=0.1)


def test_turning_and_moving_a_plane_keeps_what_the_particles_say_of_each_other():
    particles = Particles(TrackerConfig(particles=200), np.random.default_rng(1))
    state = particles.fresh(np.random.default_rng(2).normal(size=(200, 3)), 5.0, 1.0)
    particles.start(state.copy())
    particles.transform(math.pi / 2, 10.0, 20.0)
    assert particles.state[:, EAST] == pytest.approx(10.0 - state[:, NORTH])
    assert particles.state[:, NORTH] == pytest.approx(20.0 + state[:, EAST])
    assert particles.state[:, YAW] == pytest.approx(state[:, YAW] + math.pi / 2)


def test_a_summary_at_the_same_time_is_itself():
    summary = Summary(np.array([1.0, 2.0, 0.5]), np.eye(3), 1.0, 8.0, 0.1, np.zeros((3, 3)))
    assert carried(summary, Motion(0.0), TrackerConfig()) is summary
