# SPDX-License-Identifier: Apache-2.0
"""What a classifier that knows the truth answers: without bias, unless it keeps the published labels and decoding."""

import math

import pytest
import torch

from geodistill_core.errors import ConfigError
from geodistill_core.models.yaw_classes import PublishedYawClasses, YawClasses

WINDOW = math.radians(90)
CIRCLE = 2 * math.pi


def perfect_logits(classes, offset, sigma=1.0):
    """Log of a Gaussian around the label, as training with soft labels would have it."""
    distance = torch.arange(classes.count) - classes.label(offset).unsqueeze(-1)
    if classes.circular:
        distance = torch.remainder(distance + classes.count / 2, classes.count) - classes.count / 2
    return -distance.square() / (2 * sigma**2)


def bias_deg(classes, sigma=1.0):
    offset = torch.linspace(-0.4999, 0.4999, 40001, dtype=torch.float64) * classes.range_rad
    return torch.rad2deg(classes.decode(perfect_logits(classes, offset, sigma)) - offset)


def test_published_classes_make_a_perfect_classifier_answer_a_degree_too_low():
    error = bias_deg(PublishedYawClasses(90, WINDOW))
    assert error.mean() == pytest.approx(-1.0, abs=0.02)
    assert -2.01 < error.min() < -1.9 and -0.1 < error.max() < 0.01


@pytest.mark.parametrize("count", [3, 45, 90])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
def test_exact_classes_have_no_bias_anywhere_in_the_window(count, sigma):
    error = bias_deg(YawClasses(count, WINDOW), sigma)
    assert abs(error.mean()) < 1e-3
    assert error.abs().max() < 0.05


@pytest.mark.parametrize("count", [36, 360])
def test_exact_classes_have_no_bias_anywhere_on_the_circle(count):
    error = bias_deg(YawClasses(count, CIRCLE))
    assert torch.remainder(error + 180, 360).sub(180).abs().max() < 0.05


def test_classes_tile_the_range_evenly():
    yaws = torch.rad2deg(YawClasses(90, WINDOW).offset(torch.arange(90)))
    assert yaws[0] == pytest.approx(-44.5) and yaws[-1] == pytest.approx(44.5)
    published = torch.rad2deg(PublishedYawClasses(90, WINDOW).offset(torch.arange(90)))
    assert published[0] == pytest.approx(-45) and published[-1] == pytest.approx(44, abs=1e-5)


@pytest.mark.parametrize("kind", [YawClasses, PublishedYawClasses])
def test_position_and_offset_are_inverse(kind):
    classes, position = kind(90, WINDOW), torch.linspace(0, 89, 50)
    assert torch.allclose(classes.position(classes.offset(position)), position, atol=1e-4)


@pytest.mark.parametrize("best", [0, 1, 40, 88, 89])
def test_certainty_decodes_to_the_class_itself(best):
    classes = YawClasses(90, WINDOW)
    logits = torch.full((1, 90), -50.0)
    logits[0, best] = 50.0
    assert classes.decode(logits)[0] == pytest.approx(float(classes.offset(torch.tensor(best))), abs=1e-6)
    logits = logits.masked_fill(logits < 0, -torch.inf)
    assert classes.decode(logits)[0] == pytest.approx(float(classes.offset(torch.tensor(best))), abs=1e-6)


def test_ignorance_decodes_to_a_heading_within_the_range():
    for classes in (YawClasses(90, WINDOW), YawClasses(360, CIRCLE), PublishedYawClasses(90, WINDOW)):
        answer = classes.decode(torch.zeros(2, classes.count))
        assert answer.isfinite().all() and answer.abs().max() <= classes.range_rad / 2


def test_log_probability_is_that_of_the_class_at_its_middle_and_linear_between():
    classes, logits = YawClasses(90, WINDOW), torch.randn(2, 90, generator=torch.Generator().manual_seed(0))
    log_p = logits.log_softmax(1)
    yaws = classes.offset(torch.arange(90)).expand(2, -1)
    assert torch.allclose(classes.log_probability(logits, yaws), log_p, atol=1e-4)
    between = classes.log_probability(logits, (yaws[:, :-1] + yaws[:, 1:]) / 2)
    assert torch.allclose(between, (log_p[:, :-1] + log_p[:, 1:]) / 2, atol=1e-4)


def test_headings_beyond_the_window_are_neither_supported_nor_ruled_out():
    classes = YawClasses(90, WINDOW)
    logits = -(torch.arange(90) - 20.0).square().unsqueeze(0) / 50
    offset = torch.deg2rad(torch.tensor([[-46.0, 46.0, 180.0, 400.0 - 180, -24.5, 360 - 24.5, 40.0]]))
    outside, inside = classes.log_probability(logits, offset)[0].split([4, 3])
    assert torch.allclose(outside, torch.tensor(1 / 90).log())
    assert inside[0] == pytest.approx(float(inside[1]), abs=1e-3)
    assert inside[0] > outside[0] > inside[2]


def test_on_the_circle_the_last_class_is_next_to_the_first():
    classes, logits = YawClasses(36, CIRCLE), torch.zeros(1, 36)
    logits[0, 0], logits[0, -1] = 3.0, 3.0
    assert abs(float(classes.decode(logits)[0])) == pytest.approx(math.pi, abs=1e-6)
    seam = classes.log_probability(logits, torch.tensor([[math.pi, -math.pi, 3 * math.pi]]))
    assert torch.allclose(seam, logits.log_softmax(1)[:, :1].expand(1, 3), atol=1e-4)


@pytest.mark.parametrize(("count", "range_rad"), [(2, 1.0), (90, 0.0), (90, 7.0)])
def test_useless_classes_are_refused(count, range_rad):
    with pytest.raises(ConfigError):
        YawClasses(count, range_rad)
