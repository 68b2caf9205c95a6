# SPDX-License-Identifier: Apache-2.0
"""FFT correlation against a direct double loop."""

import numpy as np
import pytest
import torch

from geodistill_core.models.correlation import (
    correlate,
    correlate_all_pairs,
    correlation_map,
    normalized_cross_correlation,
)


def direct(features, valid, template, confidence):
    """The definition, window by window, in float64."""
    A = features.shape[-1]
    k = template.shape[-1]
    P = A - k + 1
    out, share = np.zeros((P, P)), np.zeros((P, P))
    for r in range(P):
        for c in range(P):
            s = features[:, r : r + k, c : c + k]
            m = valid[r : r + k, c : c + k]
            q2 = confidence**2
            numerator = (s * m * template * q2).sum()
            d_map = np.sqrt((s**2 * m * q2).sum())
            d_ground = np.sqrt((template**2 * m * q2).sum())
            out[r, c] = numerator / (d_map * d_ground)
            share[r, c] = d_ground**2 / (template**2 * q2).sum()
    return out, share


def draw(seed, invalid=False):
    rng = np.random.default_rng(seed)
    valid = np.ones((20, 20))
    if invalid:
        valid[:, :6] = 0
    return rng.normal(size=(3, 20, 20)), valid, rng.normal(size=(3, 7, 7)), rng.uniform(0.1, 1, (7, 7))


def test_similarity_equals_the_definition_on_a_full_and_on_a_holed_map():
    for invalid in (False, True):
        arrays = draw(3, invalid)
        expected, expected_share = direct(*arrays)
        got, share = normalized_cross_correlation(*(torch.from_numpy(a) for a in arrays))
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-9)
        np.testing.assert_allclose(share.numpy(), expected_share, atol=1e-9)


def test_similarity_is_one_exactly_where_the_template_was_cut():
    features, valid, _, confidence = draw(5)
    template = features[:, 4:11, 9:16].copy()
    got, _ = normalized_cross_correlation(*(torch.from_numpy(a) for a in (features, valid, template, confidence)))
    assert divmod(int(got.argmax()), got.shape[-1]) == (4, 9)
    assert abs(float(got[4, 9]) - 1) < 1e-9


def test_leading_dimensions_broadcast_maps_against_templates():
    features, valid, template, confidence = (torch.from_numpy(a) for a in draw(8))
    many, _ = normalized_cross_correlation(
        features[None, None],
        valid[None, None],
        torch.stack([template, -template])[None],
        torch.stack([confidence] * 2)[None],
    )
    single, _ = normalized_cross_correlation(features, valid, template, confidence)
    torch.testing.assert_close(many[0, 0], single)
    torch.testing.assert_close(many[0, 1], -single)


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("channels", "cells", "template_cells"), [(16, 152, 75), (16, 296, 118), (64, 256, 102)])
@pytest.mark.parametrize("weighed", [True, False])
def test_float32_similarity_is_within_1e_5_of_the_definition_at_the_networks_sizes(
    channels, cells, template_cells, weighed
):
    features = torch.relu(random(channels, cells, cells, seed=1)) * 1e-3
    template = features[:, 5 : 5 + template_cells, 9 : 9 + template_cells]
    templates = torch.stack([template, template * 0.5 + random(*template.shape, seed=2) * 1e-3])
    confidence = torch.sigmoid(random(2, template_cells, template_cells, seed=3)) if weighed else None
    got = correlate(correlation_map(features.unsqueeze(0)), templates, confidence).similarity()
    q_sq = np.ones((2, template_cells, template_cells)) if confidence is None else confidence.double().numpy() ** 2
    last = cells - template_cells
    drawn = np.random.default_rng(4).integers(0, last + 1, (12, 2)).tolist()
    for row, column in [*drawn, (5, 9), (0, last), (last, 0)]:
        s = features[:, row : row + template_cells, column : column + template_cells].double().numpy()
        for i, b in enumerate(templates.double().numpy()):
            expected = (s * b * q_sq[i]).sum() / np.sqrt((s**2 * q_sq[i]).sum() * (b**2 * q_sq[i]).sum())
            assert float(got[i, row, column]) == pytest.approx(expected, abs=1e-5)


def test_map_sizes_with_a_large_prime_factor_correlate_like_the_definition():
    rng = np.random.default_rng(6)
    arrays = rng.normal(size=(2, 37, 37)), np.ones((37, 37)), rng.normal(size=(2, 8, 8)), rng.uniform(0.1, 1, (8, 8))
    got, _ = normalized_cross_correlation(*(torch.from_numpy(a) for a in arrays))
    np.testing.assert_allclose(got.numpy(), direct(*arrays)[0], atol=1e-9)


@pytest.mark.parametrize("maps_per_sample", [1, 3])
def test_many_templates_equal_one_at_a_time_with_a_shared_map_and_with_their_own(maps_per_sample):
    features = random(2, maps_per_sample, 16, 256, 256, seed=1)
    weight = random(2, maps_per_sample, 256, 256, seed=2).sigmoid()
    templates, confidence = random(2, 3, 16, 40, 40, seed=3), random(2, 3, 40, 40, seed=4).sigmoid()
    got = correlate(correlation_map(features, weight), templates, confidence).similarity()
    for b in range(2):
        for y in range(3):
            maps = correlation_map(features[b, y % maps_per_sample], weight[b, y % maps_per_sample])
            one = correlate(maps, templates[b, y], confidence[b, y])
            torch.testing.assert_close(got[b, y], one.similarity(), atol=1e-5, rtol=0)


def test_energy_of_dim_windows_survives_a_bright_corner():
    features = random(2, 128, 128, seed=1) * 1e-3
    features[:, :20, :20] *= 1e3
    energy = correlate(correlation_map(features), torch.ones(2, 30, 30)).map_energy
    expected = torch.nn.functional.avg_pool2d(features.double().square().sum(0, keepdim=True), 30, 1)[0] * 900
    torch.testing.assert_close(energy.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("weighted_map", [True, False])
@pytest.mark.parametrize("weighed", [True, False])
def test_all_pairs_equal_one_correlation_per_pair(weighted_map, weighed):
    features, weight = random(2, 3, 21, 21, seed=1), random(2, 21, 21, seed=2).sigmoid() if weighted_map else None
    templates, confidence = random(4, 3, 6, 6, seed=3), random(4, 6, 6, seed=4).sigmoid() if weighed else None
    got = correlate_all_pairs(correlation_map(features, weight), templates, confidence).similarity()
    maps = correlation_map(features.unsqueeze(1), None if weight is None else weight.unsqueeze(1))
    torch.testing.assert_close(got, correlate(maps, templates, confidence).similarity(), atol=1e-5, rtol=0)
    assert got.shape == (2, 4, 16, 16)


def test_floored_similarity_of_an_empty_template_is_zero_with_finite_gradients():
    template = torch.zeros(1, 2, 5, 5, requires_grad=True)
    maps = correlation_map(random(1, 2, 12, 12, seed=1))
    similarity = correlate(maps, template).similarity(floor=1e-6)
    similarity.abs().sum().backward()
    assert not similarity.any()
    assert template.grad.isfinite().all()
