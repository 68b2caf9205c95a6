# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from geodistill_core.models.backbones.fast_convolution import convolve, convolve_upsampled


def _case(H, W, C, K, batch=2):
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(batch, H, W, C, generator=generator), torch.randn(K, C, 3, 3, generator=generator)
    return x, weight, torch.randn(K, generator=generator)


def _direct(x, weight, bias):
    bias = None if bias is None else bias.double()
    return F.conv2d(x.permute(0, 3, 1, 2).double(), weight.double(), bias, padding=1).permute(0, 2, 3, 1)


@pytest.mark.parametrize("size", [(2, 1), (2, 9), (4, 8), (7, 6), (13, 5)])
@pytest.mark.parametrize("skip", [0, 1])
def test_minimal_filtering_gives_the_direct_convolution(size, skip):
    x, weight, bias = _case(*size, 24, 300)
    with torch.inference_mode():
        fast = convolve(x, weight, bias, skip)
    direct = _direct(x, weight, bias)[:, skip:]
    assert fast.shape == direct.shape
    torch.testing.assert_close(fast.double(), direct, rtol=0, atol=2e-5 * float(_direct(x, weight, bias).abs().max()))


def test_a_bias_is_optional():
    x, weight, _ = _case(6, 6, 8, 4)
    with torch.inference_mode():
        torch.testing.assert_close(convolve(x, weight).double(), _direct(x, weight, None), rtol=0, atol=2e-3)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("grad", [False, True])
def test_sub_pixel_form_gives_the_convolution_of_the_enlargement(factor, grad):
    x, weight, bias = _case(3, 5, 16, 12)
    enlarged = x.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
    with torch.set_grad_enabled(grad):
        fast = convolve_upsampled(x, weight, bias, factor)
    direct = _direct(enlarged, weight, bias)
    torch.testing.assert_close(fast.double(), direct, rtol=0, atol=1e-5 * float(direct.abs().max()))


def test_gradients_flow_to_input_and_weights():
    x, weight, bias = (t.double().requires_grad_() for t in _case(2, 3, 2, 2, batch=1))
    assert torch.autograd.gradcheck(lambda *a: convolve_upsampled(*a, 2), (x, weight, bias))
    assert torch.autograd.gradcheck(convolve, (x, weight, bias))


def test_minimal_filtering_follows_weights_that_change_in_place():
    x, weight, bias = _case(6, 6, 8, 4)
    with torch.inference_mode():
        before = convolve(x, weight, bias)
        weight.mul_(2.0)
        torch.testing.assert_close(convolve(x, weight, bias) - bias, 2 * (before - bias), rtol=1e-4, atol=1e-3)
