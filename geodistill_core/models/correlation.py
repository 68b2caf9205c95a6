# SPDX-License-Identifier: Apache-2.0
"""Normalised cross-correlation by FFT: the similarity of GeoDistill, G2SWeakly and GGCVT.

With map features s [C, A, A], map weight t [A, A] in 0..1, template b [C, k, k] and confidence q [k, k], at the
template's top-left position p:

    N(p) = sum s t b q^2,  D_map(p)^2 = sum s^2 t q^2,  D_ground(p)^2 = sum b^2 q^2 t,  similarity N / (D_map D_ground)

Everything that depends on the map alone is transformed once per tile (`CorrelationMap`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_ENERGY_FLOOR = 1e-8


def _spectrum(x: Tensor, size: int) -> Tensor:
    return torch.as_tensor(torch.fft.rfft2(x, s=(size, size)))


@dataclass(frozen=True, slots=True)
class CorrelationMap:
    """Spectra of s t [..., C, A, F], of sum_c s^2 t [..., A, F] and of t [..., A, F] (None: t = 1); `size` = A."""

    features: Tensor
    energy: Tensor
    weight: Tensor | None
    size: int


def correlation_map(features: Tensor, weight: Tensor | None = None) -> CorrelationMap:
    """Transform map features [..., C, A, A] with weight [..., A, A] (None: all ones)."""
    size = features.shape[-1]
    weighted = features if weight is None else features * weight.unsqueeze(-3)
    energy = (weighted * features).sum(dim=-3)
    spectrum = None if weight is None else _spectrum(weight, size)
    return CorrelationMap(_spectrum(weighted, size), _spectrum(energy, size), spectrum, size)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Numerator N, squared norms D_map^2 and D_ground^2, each broadcastable to [..., P, P]; squares are not negative.

    `ground_total` [..., 1, 1] is D_ground^2 where the whole template lies on valid map.
    """

    numerator: Tensor
    map_energy: Tensor
    ground_energy: Tensor
    ground_total: Tensor

    def similarity(self, floor: float | None = None) -> Tensor:
        """N / (D_map D_ground), the denominator kept at `floor` or more."""
        energy = self.map_energy * self.ground_energy
        return self.numerator / (energy if floor is None else energy.clamp(min=floor * floor)).sqrt()


def correlate(maps: CorrelationMap, template: Tensor, confidence: Tensor | None = None) -> Correlation:
    """Correlate templates [..., C, k, k] with confidence [..., k, k] (None: ones) with maps; leading axes broadcast."""
    return _correlation(maps, template, confidence, _matching_product)


def correlate_all_pairs(maps: CorrelationMap, template: Tensor, confidence: Tensor | None = None) -> Correlation:
    """Correlate every map [M, C, A, A] with every template [N, C, k, k]: norms and numerator broadcast to [M, N, P, P].

    The batch-wise correlation of the weakly supervised objective (G2SWeakly, section 3.3).
    """
    return _correlation(maps, template, confidence, _all_pairs_product)


def _correlation(
    maps: CorrelationMap, template: Tensor, confidence: Tensor | None, product: Callable[[Tensor, Tensor], Tensor]
) -> Correlation:
    size, cells = maps.size, template.shape[-1]
    positions = size - cells + 1

    def correlated(map_spectra: Tensor, templates: Tensor) -> Tensor:
        found = torch.as_tensor(torch.fft.irfft2(product(map_spectra, _spectrum(templates, size)), s=(size, size)))
        return found[..., :positions, :positions]

    weight = torch.ones_like(template[..., :1, :, :]) if confidence is None else confidence.square().unsqueeze(-3)
    weighted = template if confidence is None else template * weight
    numerator = correlated(maps.features, weighted)
    map_energy = correlated(maps.energy.unsqueeze(-3), weight).clamp(min=0.0)
    template_energy = (template * weighted).sum(dim=-3, keepdim=True)
    total = template_energy.sum(dim=(-3, -2, -1)).unsqueeze(-1).unsqueeze(-1)
    if maps.weight is None:
        return Correlation(numerator, map_energy, total, total)
    ground_energy = correlated(maps.weight.unsqueeze(-3), template_energy).clamp(min=0.0)
    return Correlation(numerator, map_energy, ground_energy, total)


def _matching_product(maps: Tensor, templates: Tensor) -> Tensor:
    return (maps * templates.conj()).sum(dim=-3)


def _all_pairs_product(maps: Tensor, templates: Tensor) -> Tensor:
    """Spectra [M, C, A, F] and [N, C, A, F] to [M, N, A, F], one matrix product for each frequency."""
    by_frequency = torch.matmul(maps.flatten(-2).permute(2, 0, 1), templates.flatten(-2).conj().permute(2, 1, 0))
    return by_frequency.permute(1, 2, 0).reshape(len(maps), len(templates), *maps.shape[-2:])


def normalized_cross_correlation(
    features: Tensor, valid: Tensor, template: Tensor, confidence: Tensor
) -> tuple[Tensor, Tensor]:
    """Similarity [..., P, P] and the share of the template's energy on valid map, in 0..1; energies stay above zero.

    Shapes: features [..., C, A, A], valid [..., A, A], template [..., C, k, k], confidence [..., k, k].
    """
    found = correlate(correlation_map(features, valid), template, confidence)
    ground, total = found.ground_energy.clamp(min=_ENERGY_FLOOR), found.ground_total.clamp(min=_ENERGY_FLOOR)
    denominator = (found.map_energy.clamp(min=_ENERGY_FLOOR) * ground).sqrt()
    return found.numerator / denominator, (ground / total).clamp(0.0, 1.0)
