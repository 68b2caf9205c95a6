# SPDX-License-Identifier: Apache-2.0
"""The label-free losses against direct computations."""

import math

import numpy as np
import pytest
import torch
from geodistill_training.data.flat_world import flat_world_strip
from geodistill_training.families import family_of
from geodistill_training.families.turns import turn, turn_back
from geodistill_training.objectives.weak import symmetric_contrast
from geodistill_training.targets import heatmap_cross_entropy, position_target

from geodistill_core.models.base import MapFeatures
from geodistill_core.models.correlation import normalized_cross_correlation
from geodistill_core.models.strip import StripGeometry
from geodistill_core.models.tiny import Tiny


def test_all_pairs_similarity_equals_one_correlation_per_pair():
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(3, 4, 24, 24, generator=generator)
    templates = torch.randn(3, 4, 9, 9, generator=generator)
    confidence = torch.rand(3, 9, 9, generator=generator)
    network = Tiny(channels=4, widths=(8, 8, 8, 8))
    network.lay_out = lambda ground, yaw: (templates[:, None], confidence[:, None])
    (got,) = family_of(network).nearest(None, MapFeatures(maps, torch.ones(3, 24, 24)), torch.zeros(3), torch.ones(3))
    for m in range(3):
        for n in range(3):
            expected, _ = normalized_cross_correlation(maps[m], torch.ones(24, 24), templates[n], confidence[n])
            assert float(got[m, n]) == pytest.approx(float(expected.max()), abs=1e-5)


def test_symmetric_contrast_of_two_pairs_is_the_mean_of_four_softplus_terms():
    best = torch.tensor([[0.9, 0.2], [0.5, 0.7]])
    terms = [math.log1p(math.exp(20 * d)) for d in (0.2 - 0.9, 0.5 - 0.7, 0.5 - 0.9, 0.2 - 0.7)]
    assert float(symmetric_contrast(best, 20.0)) == pytest.approx(sum(terms) / 4, rel=1e-5)


def test_soft_target_is_a_distribution_whose_mean_is_the_place():
    # half-metre cells: 0.35 m east and 0.95 m south of the centre are column 4.7 and row 5.9 of nine
    target = position_target((4, 9, 9), torch.tensor([[0.35, -0.95]]), 0.5, torch.tensor([0.3]))
    y, r, c = (torch.arange(n, dtype=torch.float32) for n in (4, 9, 9))
    assert float(target.sum()) == pytest.approx(1.0)
    means = [float((target[0].sum(dim=d) * v).sum()) for d, v in (((1, 2), y), ((0, 2), r), ((0, 1), c))]
    assert means == pytest.approx([0.3, 5.9, 4.7], abs=1e-5)


def test_cross_entropy_of_uniform_logits_is_the_logarithm_of_the_number_of_cells():
    target = position_target((2, 5, 5), torch.tensor([[-0.5, 0.5]]), 0.5, torch.tensor([0.5]))
    assert float(heatmap_cross_entropy(torch.zeros(1, 2, 5, 5), target)) == pytest.approx(math.log(50), rel=1e-5)


@pytest.mark.parametrize("gauge", range(8))
def test_every_symmetry_of_the_square_is_undone(gauge):
    x = torch.arange(2 * 5 * 5).reshape(2, 5, 5)
    torch.testing.assert_close(turn_back(turn(x, gauge), gauge), x)


def test_the_flat_world_shows_a_painted_spot_at_its_azimuth_and_depression():
    overhead = np.zeros((512, 512, 3), np.uint8)
    overhead[256 - 40 - 4 : 256 - 40 + 4, 256 - 4 : 256 + 4] = 255  # 6 m north of the centre at 0.15 m per pixel
    geometry = StripGeometry()

    rng = np.random.default_rng(12)
    strip = flat_world_strip(overhead, 0.15, 0.0, 0.0, 0.0, 2.0, geometry, rng)
    columns = slice(geometry.width // 4 - 12, geometry.width // 4 + 12)  # heading east: north is 90 degrees to the left
    window = strip[:, columns].min(axis=2).astype(float)
    depression = geometry.depression((np.arange(geometry.height) + 0.5) / geometry.height)
    near = (depression > math.atan2(2, 6) - 0.06) & (depression < math.atan2(2, 6) + 0.06)
    weight = window[near]
    rr, cc = np.nonzero(weight > 128)
    assert len(rr) > 4
    assert depression[near][rr].mean() == pytest.approx(math.atan2(2, 6), abs=0.02)
    assert cc.mean() + 0.5 + columns.start == pytest.approx(geometry.width / 4, abs=1.0)
