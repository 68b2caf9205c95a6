# SPDX-License-Identifier: Apache-2.0
"""A minute of real receivers, wheel speed and gyroscope through the tracker, with simulated heat maps."""

import math

import numpy as np
import pytest
from real_minute import NEEDS_MINUTE, RealMinute, drive, rms_m, tracker

from geodistill_core.tracking.gates import CHI_SQ_99

pytestmark = NEEDS_MINUTE
SEEDS = range(6)
OFF_S = (25.0, 45.0)


@pytest.fixture(scope="module")
def minute():
    return RealMinute()


@pytest.fixture(scope="module")
def tracks(minute):
    return [drive(minute, tracker(), "ublox", seed) for seed in SEEDS]


def test_the_receivers_errors_are_those_of_real_ones(minute):
    assert len(minute.receivers["ublox"].stamps_ns) == 578 and len(minute.receivers["qcom"].stamps_ns) == 30
    assert minute.receivers["ublox"].rms_m == pytest.approx(2.09, abs=0.02)
    assert minute.receivers["qcom"].rms_m == pytest.approx(5.09, abs=0.02)


def test_wheel_speed_and_gyroscope_tell_the_reference_poses_motion(minute):
    motions = minute.motions()
    seconds = np.array([(m.stamp_ns - minute.stamp_ns(0.0)) * 1e-9 for m in motions])
    moved = np.sum([m.speed_mps for m in motions]) * 0.05
    truth = np.stack([minute.truth(s) for s in seconds])
    assert moved == pytest.approx(np.hypot(*np.diff(truth[:, :2], axis=0).T).sum(), rel=0.015)
    turned = np.cumsum([m.yaw_rate_radps for m in motions]) * 0.05
    assert np.abs(turned - (truth[:, 2] - truth[0, 2])).max() < math.radians(3.0)


def test_the_track_is_at_most_035_as_far_off_as_the_better_receiver(minute, tracks):
    steps = [step for track in tracks for step in track]
    better_m = min(receiver.rms_m for receiver in minute.receivers.values())
    assert min(len(track) for track in tracks) >= 110
    assert rms_m(steps) <= 0.35 * better_m


def test_the_tracks_claims_hold_on_real_sensors(tracks):
    nees = np.array([step.nees for track in tracks for step in track])
    assert 0.4 < nees.mean() < 3.5
    within = np.mean([step.position_sq <= CHI_SQ_99[2] for track in tracks for step in track])
    assert within > 0.98


def test_twenty_seconds_without_heat_maps_stay_inside_the_99_percent_bound(minute):
    for seed in SEEDS:
        blind = [s for s in drive(minute, tracker(), "ublox", seed, OFF_S) if OFF_S[0] <= s.seconds < OFF_S[1]]
        assert len(blind) >= 30
        assert max(step.position_sq for step in blind) <= CHI_SQ_99[2]
        # the receiver goes on: the claim widens, though not without bounds
        assert max(step.pose.covariance[0, 0] for step in blind) > 1.2 * blind[0].pose.covariance[0, 0]
