# SPDX-License-Identifier: Apache-2.0
"""The tracker on drives whose truth and heat maps are known by formula."""

import math

import numpy as np
import pytest

from geodistill_core.tracking import TrackedLocalizer, Tracker, TrackerConfig, TrackState
from tests.tracking.world import (
    CALIBRATION,
    FRAME,
    Driving,
    Painter,
    circle,
    error_of,
    straight,
)


def driving(path, modes=None, *, config=None, noise_m=0.1, **more):
    painter = Painter(modes, noise_m=noise_m)
    return Driving(TrackedLocalizer(painter, Tracker(config, CALIBRATION)), path, **more)


@pytest.mark.parametrize("path", [straight(), circle(), circle(speed_mps=-6.0)], ids=["straight", "circle", "reverse"])
def test_a_track_is_better_than_its_heat_maps_and_its_covariance_is_honest(path):
    drive = driving(path, noise_m=0.4).drive(60.0)
    errors = drive.errors(since=15.0)
    assert np.median(errors) < 0.3  # single frames: 0.47 m
    assert drive.states[-1] is TrackState.TRACKING
    assert np.mean(drive.nees(since=15.0)) < 12.0


def test_the_receivers_bias_is_estimated_and_does_not_pull_the_pose():
    drive = driving(straight(), offset=(6.0, -3.0)).drive(40.0)
    facts = drive.tracked.tracker.facts()
    assert np.median(drive.errors(since=15.0)) < 0.15
    assert [pose.suspect for _, pose in drive.poses] == [""] * len(drive.poses)
    assert facts["gnss_bias_east_m"] == pytest.approx(6.0, abs=1.0)
    assert facts["gnss_bias_north_m"] == pytest.approx(-3.0, abs=1.0)


def test_without_odometry_the_vehicle_keeps_its_speed():
    drive = driving(straight(), odometry=False).drive(40.0)
    assert np.median(drive.errors(since=15.0)) < 0.3
    assert drive.poses[-1][1].speed_mps == pytest.approx(8.0, abs=0.5)


def test_a_wrong_heat_map_does_not_kill_a_track():
    drive = driving(straight()).drive(20.0)
    painter = drive.tracked.localizer
    painter.modes = lambda truth: [(truth[0] + 9.0, truth[1] - 7.0, truth[2], 0.3, 1.0)]
    drive.drive(0.5)
    painter.modes = painter.one
    drive.drive(5.0)
    assert drive.errors(since=22.0).max() < 0.5


def test_a_vehicle_that_was_carried_elsewhere_is_found_again_by_its_images():
    drive = driving(straight(), sigma_m=8.0).drive(20.0)
    away = drive.path
    drive.path = lambda t: (away(t)[0] + 7.0, away(t)[1] + 6.0, away(t)[2])
    drive.drive(25.0)
    assert drive.errors(since=40.0).max() < 0.6


def test_two_like_streets_are_carried_until_one_fits():
    """The second mode lies 12 m to the left and ends after 15 s."""
    left = np.array([-math.sin(0.4), math.cos(0.4)]) * 12.0

    def modes(truth):
        there = [(truth[0] + left[0], truth[1] + left[1], truth[2], 0.6, 1.0)]
        here = [(truth[0], truth[1], truth[2], 0.6, 1.0)]
        return here + there if np.hypot(*truth[:2]) < 120.0 else here

    drive = driving(straight(), modes, sigma_m=10.0).drive(10.0)
    assert drive.tracked.tracker.facts()["mass"] < 0.9
    assert drive.states[-1] is TrackState.ACQUIRING
    drive.drive(30.0)
    assert drive.states[-1] is TrackState.TRACKING
    assert drive.errors(since=30.0).max() < 0.5


def test_n30_two_equal_modes_twenty_metres_apart_are_spanned_by_the_covariance():
    def modes(truth):
        return [(truth[0], truth[1], truth[2], 0.6, 1.0), (truth[0], truth[1] + 20.0, truth[2], 0.6, 1.0)]

    drive = driving(lambda t: (0.0, 0.0, 0.3), modes, sigma_m=15.0, offset=(0.0, 10.0)).drive(3.0)
    pose = drive.poses[-1][1]
    assert np.linalg.eigvalsh(pose.covariance[:2, :2])[-1] >= 100.0
    assert pose.state is TrackState.ACQUIRING


def test_n29_uniform_heat_maps_say_nothing_and_the_covariance_stays_that_of_the_receiver():
    drive = driving(straight(), lambda truth: [], sigma_m=4.0).drive(10.0)
    sigma_m = math.sqrt(np.linalg.eigvalsh(drive.poses[-1][1].covariance[:2, :2])[-1])
    assert sigma_m > 2.0
    assert TrackState.TRACKING not in drive.states


def test_n16_one_fix_that_jumps_by_500_m_moves_the_pose_by_less_than_three_sigma():
    # a buffer that believes in 1000 m/s lets the fix through
    drive = driving(straight(), max_speed_mps=1000.0).drive(20.0)
    drive.offset = lambda second: (400.0, 300.0) if 20.9 < second < 21.1 else (0.0, 0.0)
    drive.drive(4.0)
    for second, pose in drive.poses[-12:]:
        error, _ = error_of(pose, drive.pose(second))
        assert error < 3.0 * math.sqrt(np.linalg.eigvalsh(pose.covariance[:2, :2])[-1])
    assert drive.states[-1] is TrackState.TRACKING


def test_n17_a_bias_that_ramps_to_30_m_becomes_suspect_and_the_covariance_grows_to_cover_it():
    drive = driving(straight()).drive(20.0)
    quiet = drive.poses[-1][1]
    drive.offset = lambda second: (min(30.0, max(0.0, second - 20.0)), 0.0)
    drive.drive(35.0)
    pose = drive.poses[-1][1]
    assert pose.state is TrackState.DEGRADED
    assert pose.suspect.startswith("GNSS disagrees with the track")
    assert pose.covariance[0, 0] > quiet.covariance[0, 0] + 12.0**2
    assert drive.nees(since=20.0).max() < 16.0
    assert any("GNSS disagrees" in change.cause for change in drive.told)


def test_n18_without_fixes_and_images_a_track_degrades_and_is_lost():
    drive = driving(straight()).drive(20.0)
    assert drive.states[-1] is TrackState.TRACKING
    drive.has_fix = lambda second: False
    drive.tracked.localizer.modes = lambda truth: []
    drive.drive(120.0)
    told = [(change.before, change.after) for change in drive.told]
    assert (TrackState.TRACKING, TrackState.DEGRADED) in told
    assert (TrackState.DEGRADED, TrackState.LOST) in told
    degraded = next(change for change in drive.told if change.after is TrackState.DEGRADED)
    assert 1.0 < (degraded.stamp_ns - drive.stamp(20.0)) * 1e-9 < 4.0
    lost = next(change for change in drive.told if change.after is TrackState.LOST)
    assert lost.cause.startswith("the position is uncertain by 8.")


def test_a_lost_track_is_acquired_anew_when_fixes_and_images_return():
    drive = driving(straight()).drive(20.0)
    drive.has_fix = lambda second: second > 150.0
    drive.tracked.localizer.modes = lambda truth: [] if drive.second < 150.0 else drive.tracked.localizer.one(truth)
    drive.drive(160.0)
    assert TrackState.LOST in drive.states
    assert drive.states[-1] is TrackState.TRACKING
    assert drive.errors(since=170.0).max() < 0.5


def test_images_alone_carry_a_track_through_thirty_seconds_without_gnss():
    drive = driving(circle()).drive(20.0)
    drive.has_fix = lambda second: not 20.0 < second < 50.0
    drive.drive(30.0)
    assert drive.states[-1] is TrackState.DEGRADED
    assert drive.errors(since=20.0).max() < 0.5
    drive.drive(10.0)
    assert drive.states[-1] is TrackState.TRACKING


def test_n43_an_hour_at_rest_neither_drifts_nor_sharpens_below_the_floor():
    drive = driving(lambda t: (3.0, -2.0, 0.7), noise_m=0.0, rate_hz=0.5, config=TrackerConfig(particles=1000))
    drive.drive(60.0)
    first = drive.poses[-1][1]
    drive.drive(3540.0)
    last = drive.poses[-1][1]
    east, north = np.array(FRAME.to_enu(last.latitude, last.longitude)) - FRAME.to_enu(first.latitude, first.longitude)
    assert math.hypot(east, north) < 0.1
    assert last.covariance[0, 0] >= 0.05**2
    assert last.covariance[1, 1] >= 0.05**2


def test_the_pose_is_carried_on_to_now_and_its_covariance_grows():
    drive = driving(circle()).drive(20.0)
    second, pose = drive.poses[-1]
    drive._feed(second + 0.5)
    later = drive.tracked.pose_at(drive.stamp(second + 0.4), drive.buffer)
    error, _ = error_of(later, drive.pose(second + 0.4))
    assert error < error_of(pose, drive.pose(second))[0] + 0.15
    assert np.trace(later.covariance[:2, :2]) > np.trace(pose.covariance[:2, :2])


def test_the_same_drive_gives_the_same_track_to_the_bit():
    first, second = (driving(circle(), noise_m=0.3).drive(8.0) for _ in range(2))
    for (_, one), (_, other) in zip(first.poses, second.poses, strict=True):
        assert (one.latitude, one.longitude, one.yaw_enu_rad) == (other.latitude, other.longitude, other.yaw_enu_rad)
        assert np.array_equal(one.covariance, other.covariance)


def test_a_reset_forgets_and_a_stated_pose_is_where_the_next_image_is_looked_for():
    drive = driving(straight()).drive(10.0)
    tracker = drive.tracked.tracker
    drive.tracked.reset("asked", drive.stamp(drive.second))
    assert tracker.state is TrackState.WAITING_PRIOR
    assert tracker.pose_at(drive.stamp(drive.second), drive.buffer.readings(0, 1)) is None
    drive.drive(15.0)
    assert drive.states[-1] is TrackState.TRACKING


def test_a_fault_claims_nothing_and_ends_with_a_new_acquisition():
    drive = driving(straight()).drive(10.0)
    tracker = drive.tracked.tracker
    tracker.fault("inference hangs", drive.stamp(drive.second))
    assert tracker.state is TrackState.FAULT
    tracker.recovered(drive.stamp(drive.second))
    drive.drive(0.25)
    assert drive.states[-1] is TrackState.ACQUIRING


def test_over_kilometres_the_plane_follows_the_vehicle():
    drive = driving(straight(speed_mps=25.0), rate_hz=4.0).drive(90.0)
    assert drive.errors(since=15.0).max() < 0.6
    assert drive.tracked.tracker._plane.frame.origin.latitude != pytest.approx(FRAME.origin.latitude, abs=1e-3)
