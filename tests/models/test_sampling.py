# SPDX-License-Identifier: Apache-2.0
"""The published sampler against an explicit loop over points."""

import math

import torch

from geodistill_core.models.sampling import sample_published


def by_hand(image, u, v):
    """Four neighbours clamped to the image, weights from the clamped neighbours' coordinates."""
    C, H, W = image.shape
    out = torch.zeros(C, dtype=image.dtype)
    if not (0 <= u <= W - 1 and 0 <= v <= H - 1):
        return out
    u0, v0 = math.floor(u), math.floor(v)
    u1, v1 = min(u0 + 1, W - 1), min(v0 + 1, H - 1)
    for column, row, weight in (
        (u0, v0, (u1 - u) * (v1 - v)),
        (u1, v0, (u - u0) * (v1 - v)),
        (u0, v1, (u1 - u) * (v - v0)),
        (u1, v1, (u - u0) * (v - v0)),
    ):
        out += weight * image[:, row, column]
    return out


def draw(*points):
    generator = torch.Generator().manual_seed(11)
    image = torch.randn(2, 3, 5, 7, generator=generator, dtype=torch.float64)
    uv = torch.rand(2, *points, 2, generator=generator, dtype=torch.float64) * torch.tensor([9.0, 7.0]) - 1
    return image, uv


def test_samples_equal_the_loop_inside_outside_and_on_the_borders():
    image, uv = draw(4, 30)
    uv[0, 0, :6] = torch.tensor([[0.0, 0.0], [6.0, 2.5], [3.5, 4.0], [6.0, 4.0], [5.999, 3.999], [-1e-9, 1.0]])
    got = sample_published(image, uv)
    for sample in range(2):
        expected = [by_hand(image[sample], *point) for point in uv[sample].view(-1, 2).tolist()]
        torch.testing.assert_close(got[sample].flatten(1), torch.stack(expected, dim=1))


def test_last_column_and_last_row_are_zero_and_the_first_ones_are_not():
    image = torch.ones(1, 1, 4, 6)
    uv = torch.tensor([[[5.0, 1.0], [2.0, 3.0], [0.0, 1.0], [2.0, 0.0]]])
    assert sample_published(image, uv).flatten().tolist() == [0.0, 0.0, 1.0, 1.0]


def test_points_that_are_not_finite_are_zero():
    image = torch.ones(1, 2, 4, 6)
    uv = torch.tensor([[[math.nan, 1.0], [1.0, math.inf], [-math.inf, math.nan]]])
    assert not sample_published(image, uv).any()


def test_gradients_reach_features_and_points():
    image, uv = draw(6)
    assert torch.autograd.gradcheck(sample_published, (image.requires_grad_(), (uv * 0.7 + 0.3).requires_grad_()))


def test_memory_layout_of_the_features_does_not_matter():
    image, uv = draw(3, 2, 5)
    got = sample_published(image.contiguous(memory_format=torch.channels_last), uv)
    assert got.shape == (2, 3, 3, 2, 5)
    torch.testing.assert_close(got, sample_published(image, uv))
