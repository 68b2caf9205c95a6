# SPDX-License-Identifier: Apache-2.0
"""Masked normalised cross-correlation by FFT: the similarity of GeoDistill and G2SWeakly, with a validity mask."""

from __future__ import annotations

import torch
from torch import Tensor

_ENERGY_FLOOR = 1e-8


def _spectrum(x: Tensor, size: int) -> Tensor:
    return torch.as_tensor(torch.fft.rfft2(x, s=(size, size)))


def _correlate(map_spectrum: Tensor, template: Tensor, size: int) -> Tensor:
    """Valid cross-correlation [..., P, P] of a map spectrum [..., A, F] with templates [..., k, k], P = A - k + 1."""
    positions = size - template.shape[-1] + 1
    product = map_spectrum * _spectrum(template, size).conj()
    return torch.as_tensor(torch.fft.irfft2(product, s=(size, size))[..., :positions, :positions])


def normalized_cross_correlation(
    features: Tensor, valid: Tensor, template: Tensor, confidence: Tensor
) -> tuple[Tensor, Tensor]:
    """Cosine similarity of a template with every window of a map.

    With map features s [..., C, A, A], validity m [..., A, A] in 0..1, template b [..., C, k, k] and confidence
    q [..., k, k] (leading dimensions broadcast):

        N(p) = sum s m b q^2,  D_map(p)^2 = sum s^2 m q^2,  D_ground(p)^2 = sum b^2 q^2 m

    Returns the similarity N / (D_map D_ground) [..., P, P] in -1..1 and the share of the template's energy that fell on
    valid map [..., P, P].
    """
    size = features.shape[-1]
    weight = confidence * confidence
    masked = features * valid.unsqueeze(-3)
    positions = size - template.shape[-1] + 1
    product = (_spectrum(masked, size) * _spectrum(template * weight.unsqueeze(-3), size).conj()).sum(dim=-3)
    numerator = torch.fft.irfft2(product, s=(size, size))[..., :positions, :positions]
    map_energy = _correlate(_spectrum((masked * features).sum(dim=-3), size), weight, size)
    template_energy = (template * template).sum(dim=-3) * weight
    ground_energy = _correlate(_spectrum(valid, size), template_energy, size)
    total = template_energy.sum(dim=(-2, -1), keepdim=True).clamp(min=_ENERGY_FLOOR)
    denominator = (map_energy.clamp(min=_ENERGY_FLOOR) * ground_energy.clamp(min=_ENERGY_FLOOR)).sqrt()
    return numerator / denominator, (ground_energy / total).clamp(0.0, 1.0)
