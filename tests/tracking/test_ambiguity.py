# SPDX-License-Identifier: Apache-2.0
"""After a choice between places the covariance holds the other ones too, less and less over the way driven."""

import math

import numpy as np
import pytest

from geodistill_core.tracking import TrackedLocalizer, Tracker, TrackState
from geodistill_core.tracking.ambiguity import Ambiguity
from geodistill_core.tracking.cloud import Cloud, Place
from geodistill_core.tracking.config import TrackerConfig
from geodistill_core.tracking.heat import Evidence
from geodistill_core.tracking.motion import Motion
from tests.tracking.world import CALIBRATION, FRAME, Driving, Painter, heatmap_of, straight

APART_M, OTHER = 10.0, 0.3


def evidence(*modes):
    return Evidence(heatmap_of(modes, (0.0, 0.0), 0.0), FRAME, 0.02)


@pytest.fixture
def torn():
    """Particles at two places ten metres apart along the road, three of ten at the second."""
    config = TrackerConfig(weight=1.0)
    cloud = Cloud(config)
    both = evidence((0.0, 0.0, 0.0, 0.6, 1.0 - OTHER), (APART_M, 0.0, 0.0, 0.6, OTHER))
    cloud.start(both, Place(np.zeros(2), 50.0, 0.0, 0.2, 0.0, None))
    return cloud


def decided(cloud):
    """Images speak for the first place alone."""
    for _ in range(4):
        cloud.learn_image(evidence((0.0, 0.0, 0.0, 0.6, 1.0)), Motion(1.0, measured_s=1.0), None, acquiring=False)


def along_m(summary):
    return math.sqrt(summary.covariance[0, 0])


def test_two_places_are_both_covered(torn):
    found = torn.summary()
    assert found.mass == pytest.approx(1.0 - OTHER, abs=0.06)
    # the even part of the heat map adds as much across as along
    assert found.elsewhere[0, 0] - found.elsewhere[1, 1] == pytest.approx(OTHER * APART_M**2, rel=0.2)
    assert found.covariance[0, 0] > found.elsewhere[0, 0]


def test_a_choice_is_claimed_only_as_it_is_proved(torn):
    before = along_m(torn.summary())
    decided(torn)
    chosen = torn.summary()
    assert chosen.mass > 0.95 and not chosen.elsewhere.any()
    assert along_m(chosen) == pytest.approx(before, rel=0.1)
    after_one, after_two = (along_m(torn.summary(proof=1.0)) for _ in range(2))
    assert after_one == pytest.approx(before * math.exp(-0.5), rel=0.1)
    assert after_two == pytest.approx(before * math.exp(-1.0), rel=0.1)
    assert np.linalg.eigvalsh(chosen.covariance).min() > 0.0


def test_a_place_that_was_proved_is_claimed_as_narrow_as_its_particles(torn):
    torn.summary()
    decided(torn)
    assert along_m(torn.summary(proof=math.inf)) < 1.0


def test_a_track_proves_a_place_by_the_way_of_images_and_one_that_is_acquired_claims_no_old_ones(monkeypatch):
    told, summary = [], Cloud.summary
    monkeypatch.setattr(Cloud, "summary", lambda cloud, proof=0.0: told.append(proof) or summary(cloud, proof))
    tracker = Tracker(calibration=CALIBRATION)
    drive = Driving(TrackedLocalizer(Painter(), tracker), straight(8.0)).drive(12.0)
    assert told[0] == math.inf and tracker.state is TrackState.TRACKING
    # 2 m of the 25 m and a quarter of the 20 s
    assert told[-1] == pytest.approx(2.0 / 25.0 + 0.25 / 20.0, rel=0.02)
    drive.tracked.localizer.modes = lambda truth: []  # says nothing
    drive.drive(1.0)
    assert told[-1] == 0.0


def test_new_places_replace_the_memory_of_old_ones_that_were_closer():
    memory, near, far = Ambiguity(), np.diag([4.0, 0.0, 0.0]), np.diag([0.0, 9.0, 0.0])
    memory.learn(near, 0.0)
    memory.learn(far, 0.5)
    assert np.array_equal(memory.covariance, far)
    memory.learn(near, 0.5)
    assert memory.covariance == pytest.approx(far * math.exp(-0.5))
