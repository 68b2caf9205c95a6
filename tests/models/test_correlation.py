# SPDX-License-Identifier: Apache-2.0
"""FFT correlation against a direct double loop."""

import numpy as np
import torch

from geodistill_core.models.correlation import normalized_cross_correlation


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
