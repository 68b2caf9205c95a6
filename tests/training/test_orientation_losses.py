# SPDX-License-Identifier: Apache-2.0
"""Soft labels, their cross-entropy and the error of a heading."""

import math

import pytest
import torch
from geodistill_training.orientation_losses import orientation_error, orientation_loss, soft_labels

from geodistill_core.models.yaw_classes import PublishedYawClasses, YawClasses

WINDOW = YawClasses(90, math.radians(90))
CIRCLE = YawClasses(360, 2 * math.pi)
PUBLISHED = PublishedYawClasses(90, math.radians(90))


@pytest.mark.parametrize(("degrees", "label"), [(-45.0, 0), (-44.0, 0), (-43.9, 1), (0.0, 44), (44.9, 88), (45.0, 89)])
def test_published_label_is_the_floor_of_eighty_nine_ninetieths(degrees, label):
    assert float(PUBLISHED.label(torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)))) == label


def test_soft_labels_are_a_gaussian_around_the_true_class():
    target = soft_labels(torch.tensor([40.0, 40.5]), WINDOW)
    assert torch.allclose(target.sum(1), torch.ones(2))
    assert target[0, 41] / target[0, 40] == pytest.approx(math.exp(-0.5), rel=1e-4)
    assert target[0, 43] / target[0, 40] == pytest.approx(math.exp(-4.5), rel=1e-4)
    assert target[1, 40] == pytest.approx(float(target[1, 41]))


def test_width_of_soft_labels_is_measured_in_classes():
    k = torch.arange(90)
    for sigma in (1.0, 4.0):
        target = soft_labels(torch.tensor([45.0]), WINDOW, sigma)
        assert float((target * (k - 45) ** 2).sum().sqrt()) == pytest.approx(sigma, rel=0.01)


def test_soft_labels_pass_the_seam_of_the_circle_but_not_the_end_of_a_window():
    around = soft_labels(torch.tensor([-0.5]), CIRCLE)
    assert around[0, 0] == pytest.approx(float(around[0, -1]))
    assert soft_labels(torch.tensor([0.0]), WINDOW)[0, -1] < 1e-6


@pytest.mark.parametrize("classes", [WINDOW, CIRCLE, PUBLISHED])
def test_loss_is_smallest_for_the_logarithm_of_the_soft_label(classes):
    offset = torch.deg2rad(torch.tensor([-44.2, 3.3, 31.0]))
    target = soft_labels(classes.label(offset), classes)
    perfect = (target + 1e-30).log()
    least = orientation_loss(perfect, offset, classes)
    entropy = -(target * perfect).sum(1).mean()
    assert least == pytest.approx(float(entropy), rel=1e-4)
    for seed in range(5):
        other = perfect + 0.1 * torch.randn(perfect.shape, generator=torch.Generator().manual_seed(seed))
        assert orientation_loss(other, offset, classes) > least


def test_learning_from_the_exact_labels_ends_at_the_truth_and_from_the_published_ones_below():
    truth = torch.deg2rad(torch.linspace(-44.7, 44.7, 64))
    for classes, bias in ((WINDOW, 0.0), (PUBLISHED, -1.0)):
        logits = torch.zeros(64, 90, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=60, line_search_fn="strong_wolfe")

        def step(logits=logits, classes=classes, optimizer=optimizer):
            optimizer.zero_grad()
            loss = 64 * orientation_loss(logits, truth, classes)
            loss.backward()
            return loss

        optimizer.step(step)
        found = torch.rad2deg(classes.decode(logits.detach()) - truth)
        assert float(found.mean()) == pytest.approx(bias, abs=0.05)


def test_error_takes_the_shorter_arc_on_the_circle_only():
    guess, truth = torch.deg2rad(torch.tensor([179.0])), torch.deg2rad(torch.tensor([-179.0]))
    assert torch.rad2deg(orientation_error(guess, truth, CIRCLE)) == pytest.approx(2.0, abs=1e-3)
    published = PublishedYawClasses(360, 2 * math.pi)
    assert torch.rad2deg(orientation_error(guess, truth, published)) == pytest.approx(358.0, abs=1e-3)
    assert torch.rad2deg(orientation_error(-truth, -guess, CIRCLE)) == pytest.approx(2.0, abs=1e-3)
