# SPDX-License-Identifier: Apache-2.0
"""Normalised cross-correlation by FFT: the similarity of GeoDistill, G2SWeakly and GGCVT.

With map features s [C, A, A], map weight t [A, A] in 0..1, template b [C, k, k] and confidence q [k, k], at the
template's top-left position p:

    N(p) = sum s t b q^2,  D_map(p)^2 = sum s^2 t q^2,  D_ground(p)^2 = sum b^2 q^2 t,  similarity N / (D_map D_ground)

Everything that depends on the map alone is transformed once per tile (`CorrelationMap`). Without confidences D_map is a
sum over a box, read from an integral image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_ENERGY_FLOOR = 1e-8
_CHUNK_BYTES = 2**22
"""Spectra of templates are made in pieces of about this size: of larger ones the memory is asked for anew each time."""

Correlator = Callable[[Tensor, Tensor, int], Tensor]
"""From conjugate map spectra [..., C, F, L] and templates [..., C, k, k] to sums over C and cells at P positions."""


def _fft_length(size: int) -> int:
    """The least length from `size` on whose only prime factors are 2, 3 and 5; others take up to twice as long."""
    length = size
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


def _spectrum(x: Tensor, length: int) -> Tensor:
    """Columns' frequencies [F = L//2 + 1] before rows' [L], both transforms over contiguous numbers.

    Only the rows that there are are transformed: an ordinary two-dimensional one transforms those of zeros, too.
    """
    rows = torch.fft.rfft(x, n=length)
    return torch.as_tensor(torch.fft.fft(rows.transpose(-2, -1), n=length))


def _conjugate_spectrum(x: Tensor, length: int) -> Tensor:
    return _spectrum(x, length).conj_physical_()


@dataclass(frozen=True, slots=True)
class CorrelationMap:
    """What correlation needs of a map of `size` = A cells.

    Conjugate spectra [..., L//2 + 1, L] of s t [..., C, A, A], of sum_c s^2 t and of t [..., A, A] (None: t = 1), and
    the integral image [..., A + 1, A + 1] of sum_c s^2 t in float64.
    """

    features: Tensor
    energy: Tensor
    weight: Tensor | None
    integral: Tensor
    size: int


def correlation_map(features: Tensor, weight: Tensor | None = None) -> CorrelationMap:
    """Transform map features [..., C, A, A] with weight [..., A, A] (None: all ones)."""
    size = features.shape[-1]
    length = _fft_length(size)
    weighted = features if weight is None else features * weight.unsqueeze(-3)
    energy = (weighted * features).sum(dim=-3)
    integral = F.pad(energy.double().cumsum(dim=-1).cumsum(dim=-2), (1, 0, 1, 0))
    weight_spectrum = None if weight is None else _conjugate_spectrum(weight, length)
    features, energy = _conjugate_spectrum(weighted, length), _conjugate_spectrum(energy, length)
    return CorrelationMap(features, energy, weight_spectrum, integral, size)


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
    return _correlation(maps, template, confidence, _matching)


def correlate_all_pairs(maps: CorrelationMap, template: Tensor, confidence: Tensor | None = None) -> Correlation:
    """Correlate every map [M, C, A, A] with every template [N, C, k, k]: norms and numerator broadcast to [M, N, P, P].

    The batch-wise correlation of the weakly supervised objective (G2SWeakly, section 3.3).
    """
    weight = None if maps.weight is None else maps.weight.unsqueeze(1)
    spectra, integral = (maps.features.unsqueeze(1), maps.energy.unsqueeze(1)), maps.integral.unsqueeze(1)
    return _correlation(CorrelationMap(*spectra, weight, integral, maps.size), template, confidence, _all_pairs)


def _correlation(
    maps: CorrelationMap, template: Tensor, confidence: Tensor | None, correlator: Correlator
) -> Correlation:
    cells = template.shape[-1]
    positions = maps.size - cells + 1
    if confidence is None:
        weighted, map_energy = template, _box_sums(maps.integral, cells).to(template.dtype)
    else:
        weight = confidence.square().unsqueeze(-3)
        weighted, map_energy = template * weight, correlator(maps.energy.unsqueeze(-3), weight, positions)
    numerator = correlator(maps.features, weighted, positions)
    if maps.weight is None:
        total = (template * weighted).sum(dim=(-3, -2, -1)).unsqueeze(-1).unsqueeze(-1)
        return Correlation(numerator, map_energy.clamp(min=0.0), total, total)
    template_energy = (template * weighted).sum(dim=-3, keepdim=True)
    total = template_energy.sum(dim=(-3, -2, -1)).unsqueeze(-1).unsqueeze(-1)
    ground_energy = correlator(maps.weight.unsqueeze(-3), template_energy, positions)
    return Correlation(numerator, map_energy.clamp(min=0.0), ground_energy.clamp(min=0.0), total)


def _box_sums(integral: Tensor, cells: int) -> Tensor:
    lower, upper = integral[..., cells:, :], integral[..., :-cells, :]
    return (lower[..., cells:] - lower[..., :-cells]) - (upper[..., cells:] - upper[..., :-cells])


def _matching(spectra: Tensor, templates: Tensor, positions: int) -> Tensor:
    pieces = _pieces(spectra, templates) if templates.dim() > 3 else [(spectra, templates)]
    found = [_valid(_summed_product(s, _spectrum(t, s.shape[-1])), positions) for s, t in pieces]
    return found[0] if len(found) == 1 else torch.cat(found, dim=-3)


def _summed_product(spectra: Tensor, templates: Tensor) -> Tensor:
    """The sum over channels, one after the other where no gradient is asked for: products are not kept."""
    if torch.is_grad_enabled():
        return (spectra * templates).sum(dim=-3)
    first, *others = zip(spectra.unbind(-3), templates.unbind(-3), strict=True)
    total = torch.mul(*first)
    for of_map, of_template in others:
        total.addcmul_(of_map, of_template)
    return total


def _pieces(spectra: Tensor, templates: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Split along the axis before the channels, where maps either share one spectrum or have one each."""
    along = templates.shape[-4]
    spectra_beside = templates[..., 0, 0].numel() // along
    step = max(1, _CHUNK_BYTES // (spectra_beside * spectra.shape[-2] * spectra.shape[-1] * spectra.itemsize))
    own = spectra.dim() > 3 and spectra.shape[-4] == along
    for first in range(0, along, step):
        part = slice(first, first + step)
        yield spectra[..., part, :, :, :] if own else spectra, templates[..., part, :, :, :]


def _all_pairs(spectra: Tensor, templates: Tensor, positions: int) -> Tensor:
    """Maps [M, 1, C, L, F] and templates [N, C, k, k]: one matrix product for each frequency."""
    length = spectra.shape[-1]
    by_frequency = torch.matmul(
        spectra.flatten(-2).squeeze(1).permute(2, 0, 1), _spectrum(templates, length).flatten(-2).permute(2, 1, 0)
    )
    return _valid(by_frequency.permute(1, 2, 0).reshape(-1, len(templates), *spectra.shape[-2:]), positions)


def _valid(conjugate: Tensor, positions: int) -> Tensor:
    """The correlation whose conjugate spectrum [..., F, L] this is, where the template lies within the map.

    A forward transform of the conjugate is the conjugate of the inverse one. Of rows, only those that are wanted.
    """
    length = conjugate.shape[-1]
    rows = torch.fft.fft(conjugate, norm="forward")[..., :positions].transpose(-2, -1)
    return torch.as_tensor(torch.fft.hfft(rows, n=length, norm="forward"))[..., :positions]


def normalized_cross_correlation(
    features: Tensor, valid: Tensor, template: Tensor, confidence: Tensor
) -> tuple[Tensor, Tensor]:
    """`normalized` for maps that are used once; features [..., C, A, A], valid [..., A, A]."""
    return normalized(correlation_map(features, valid), template, confidence)


def normalized(maps: CorrelationMap, template: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity [..., P, P] and the share of the template's energy on valid map, in 0..1; energies stay above zero.

    Shapes: template [..., C, k, k], confidence [..., k, k]. The share is [..., 1, 1] where the whole map is valid.
    """
    found = correlate(maps, template, confidence)
    ground, total = found.ground_energy.clamp(min=_ENERGY_FLOOR), found.ground_total.clamp(min=_ENERGY_FLOOR)
    denominator = (found.map_energy.clamp(min=_ENERGY_FLOOR) * ground).sqrt()
    similarity = found.numerator / denominator
    return similarity, (ground / total).clamp(0.0, 1.0)
