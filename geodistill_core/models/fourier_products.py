# SPDX-License-Identifier: Apache-2.0
"""Correlation whose Fourier transforms are matrix products: real numbers only, for engines without an FFT.

With c = cos(2 pi u y / L) and s = sin(2 pi u y / L) along the rows, and the same along the columns, an image x has
four real spectra cc, cs, sc, ss over half of the frequencies, B' x B with B = [c | s]. They hold what the complex
spectrum holds. From cos(a - b) and sin(a - b) the spectra z of the correlation of a map (a, b, c, d) with a template
(e, f, g, h), each in the order cc, cs, sc, ss, are sums over channels of

    z_cc = ae + bf + cg + dh,  z_cs = be - af + dg - ch,  z_sc = ce + df - ag - bh,  z_ss = de - cf - bg + ah.

Frequencies are the leading axes, so that transforms and sums over channels are plain products of matrices.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from geodistill_core.types import Array

_QUADRANTS = 4


@functools.lru_cache(maxsize=16)
def _basis(cells: int, length: int) -> Array:
    """Cosines and sines [2 F, cells] of the F = length // 2 + 1 frequencies at `cells` places."""
    angle = 2 * math.pi * np.outer(np.arange(length // 2 + 1), np.arange(cells)) / length
    return np.concatenate([np.cos(angle), np.sin(angle)]).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _synthesis(positions: int, length: int) -> Array:
    """Weighted cosines and sines [positions, 2 F]; a frequency but 0 and length / 2 stands for its negative too."""
    weight = np.full(length // 2 + 1, 2.0 / length)
    weight[[0, -1] if length % 2 == 0 else [0]] /= 2.0
    angle = 2 * math.pi * np.outer(np.arange(positions), np.arange(length // 2 + 1)) / length
    return np.concatenate([np.cos(angle) * weight, np.sin(angle) * weight], axis=1).astype(np.float32)


def spectra(x: Tensor, length: int) -> Tensor:
    """Four spectra [4, F * F, N, C] of images [N, C, k, k]; frequencies along the columns before those along the rows."""
    N, C, k, _ = x.shape
    basis, F = torch.from_numpy(_basis(k, length)).to(x.device), length // 2 + 1
    along_x = (basis @ x.permute(3, 2, 0, 1).reshape(k, -1)).view(2 * F, k, N * C)
    both = torch.matmul(basis, along_x).view(2, F, 2, F, N, C)
    return both.permute(2, 0, 1, 3, 4, 5).reshape(_QUADRANTS, F * F, N, C)


def correlations(maps: Tensor, templates: Tensor, positions: int, length: int) -> Tensor:
    """Correlation [N, P, P] of one map with N templates, summed over channels.

    `maps` [4, F F, 1, C] and `templates` [4, F F, N, C] are spectra.
    """
    F, N = length // 2 + 1, templates.shape[2]
    a, b, c, d = (q.transpose(1, 2) for q in maps.unbind(0))
    columns = ((a, b, c, d), (b, -a, d, -c), (c, d, -a, -b), (d, -c, -b, a))
    found = sum(
        torch.matmul(template, torch.cat([row[q] for row in columns], dim=2))
        for q, template in enumerate(templates.unbind(0))
    )
    assert isinstance(found, Tensor)
    z = found.view(F, F, N, 2, 2).permute(4, 0, 3, 1, 2).reshape(2 * F, 2 * F, N)
    back = torch.from_numpy(_synthesis(positions, length)).to(z.device)
    rows = torch.matmul(back, z).view(2 * F, positions * N)
    return (back @ rows).view(positions, positions, N).permute(2, 1, 0)
