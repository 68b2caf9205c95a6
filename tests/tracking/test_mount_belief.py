# SPDX-License-Identifier: Apache-2.0
"""The recursive Newton step: where it goes, how far, and how sure it is afterwards."""

import numpy as np
import pytest

from geodistill_core.tracking.mount.belief import GaussianBelief

SIGMAS = np.array([1.0, 2.0, 2.0])
FAR = np.full(3, 100.0)


def slopes(belief, optimum, information):
    return information * (np.asarray(optimum) - belief.mean), -information * np.eye(3)


def test_one_frame_moves_the_mean_by_its_share_of_the_information():
    belief = GaussianBelief(np.zeros(3), SIGMAS, 1e9)
    belief.update(*slopes(belief, [1.0, 1.0, 0.0], 3.0), 1.0, FAR)
    assert belief.mean == pytest.approx([0.75, 12 / 13, 0.0])


def test_weights_and_frames_add_up():
    belief = GaussianBelief(np.zeros(3), SIGMAS, 1e9)
    for _ in range(100):
        belief.update(*slopes(belief, belief.mean, 4.0), 0.5, FAR)
    assert belief.sigma() == pytest.approx(1 / np.sqrt(SIGMAS**-2.0 + 200.0))


def test_a_step_stays_within_reach_and_makes_less_sure():
    belief, near = GaussianBelief(np.zeros(3), SIGMAS, 1e9), GaussianBelief(np.zeros(3), SIGMAS, 1e9)
    gradient, hessian = slopes(belief, [3.0, 0.0, 0.0], 3.0)
    belief.update(gradient, hessian, 1.0, np.full(3, 0.1))
    near.update(gradient / 100, hessian, 1.0, np.full(3, 0.1))
    assert belief.mean == pytest.approx([0.1, 0.0, 0.0])
    assert (belief.sigma() > near.sigma()).all()


def test_slopes_that_scatter_more_than_the_curvature_says_widen_the_belief():
    calm, wild = (GaussianBelief(np.zeros(3), SIGMAS, 1e9) for _ in range(2))
    for index in range(200):
        noise = (-1.0) ** index * np.ones(3)
        calm.update(0.5 * noise, -np.eye(3), 1.0, FAR)
        wild.update(5.0 * noise, -np.eye(3), 1.0, FAR)
    assert (wild.sigma() > 3 * calm.sigma()).all()


def test_noise_that_bends_upwards_makes_nobody_less_sure_than_at_the_start():
    belief = GaussianBelief(np.zeros(3), SIGMAS, 1e9)
    belief.update(np.zeros(3), 50.0 * np.eye(3), 1.0, FAR)
    assert belief.sigma() == pytest.approx(SIGMAS)


def test_old_frames_are_forgotten():
    belief = GaussianBelief(np.zeros(3), SIGMAS, 10.0)
    for _ in range(500):
        belief.update(np.zeros(3), -np.eye(3), 1.0, FAR)
    assert belief.sigma()[0] == pytest.approx(1 / np.sqrt(1 + 1 / (1 - np.exp(-0.1))))


def test_the_mean_never_leaves_four_sigmas():
    belief = GaussianBelief(np.ones(3), SIGMAS, 1e9)
    for _ in range(50):
        belief.update(np.array([0.0, 5.0, 0.0]), np.zeros((3, 3)), 1.0, FAR)
    assert belief.mean == pytest.approx([1.0, 9.0, 1.0])
