# SPDX-License-Identifier: Apache-2.0
"""Winograd's minimal filtering against the convolution that it computes."""

import pytest
import torch
from torch.nn import functional as F

from geodistill_core.models.winograd import convolve, filters


@pytest.mark.parametrize("kernel", [2, 3])
def test_minimal_filtering_equals_convolution(kernel):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 5, 9 + kernel, 7 + kernel), torch.randn(6, 5, kernel, kernel), torch.randn(6)
    found = convolve(x.permute(0, 2, 3, 1), filters(weight), bias)
    torch.testing.assert_close(found.permute(0, 3, 1, 2), F.conv2d(x, weight, bias), rtol=1e-5, atol=1e-5)


def test_tiles_of_two_are_as_exact_as_the_direct_sum():
    torch.manual_seed(0)
    x, weight = torch.randn(1, 256, 18, 18), torch.randn(64, 256, 3, 3)
    exact = F.conv2d(x.double(), weight.double())
    found = convolve(x.permute(0, 2, 3, 1), filters(weight)).permute(0, 3, 1, 2)
    assert (found - exact).abs().max() <= 2e-6 * exact.abs().max()
