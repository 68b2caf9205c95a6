# SPDX-License-Identifier: Apache-2.0
"""Losses of CCVPE and the adaptation paper against sums written out, and the gradients that they give."""

import math
from types import SimpleNamespace

import pytest
import torch
from geodistill_training.ccvpe_losses import (
    adaptation_loss,
    ccvpe_loss,
    info_nce,
    orientation_error,
)
from geodistill_training.targets import heatmap_cross_entropy

from geodistill_core.datasets.heatmap_targets import gaussian, heading_volume, orientation_map, pooled_targets


def batch(angles=(33.0, 200.0)):
    heatmaps = [gaussian(40 * i - 30, 25 - 60 * i) for i in range(len(angles))]
    volumes = [heading_volume(h, a, 20) for h, a in zip(heatmaps, angles, strict=True)]
    return torch.stack(heatmaps)[:, None], torch.stack(volumes), torch.stack([orientation_map(a) for a in angles])


def output_like(volume, field, gain=0.0):
    torch.manual_seed(0)
    scores = tuple(torch.rand_like(t) * 0.1 + gain * (t > 0.01) for t in pooled_targets(volume))
    logits = torch.zeros(len(volume), 512, 512)
    return SimpleNamespace(logits=logits, field=field, scores=scores)


def test_cross_entropy_of_a_flat_heat_map_is_the_log_of_its_cells():
    heatmap, _, _ = batch()
    target = heatmap / heatmap.sum(dim=(1, 2, 3), keepdim=True)
    assert float(heatmap_cross_entropy(torch.zeros(2, 512, 512), target)) == pytest.approx(
        math.log(512 * 512), rel=1e-5
    )


def test_info_nce_is_the_weighted_mean_over_the_positives_of_the_whole_batch():
    scores = torch.tensor([[[[0.1, 0.3]], [[-0.2, 0.0]]], [[[0.5, 0.4]], [[0.3, 0.2]]]])
    labels = torch.tensor([[[[0.8, 0.005]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.2]]]])

    def log_share(sample, value):
        return value / 0.1 - math.log(sum(math.exp(float(v) / 0.1) for v in scores[sample].flatten()))

    strong = [(0.8, log_share(0, 0.1)), (0.2, log_share(1, 0.2))]
    weak = [*strong, (0.005, log_share(0, 0.3))]
    for floor, terms in ((0.01, strong), (0.0, weak)):
        wanted = -sum(w * p for w, p in terms) / sum(w for w, _ in terms)
        assert float(info_nce(scores, labels, floor)) == pytest.approx(wanted, rel=1e-5)


def test_info_nce_without_positives_is_zero():
    assert float(info_nce(torch.randn(1, 2, 3, 3), torch.zeros(1, 2, 3, 3), 0.01)) == 0.0


def test_opposite_heading_costs_four_times_the_weight():
    field = orientation_map(10.0, 4)[None]
    assert float(orientation_error(-field, field, torch.full((1, 1, 4, 4), 0.5))) == pytest.approx(4 * 0.5 * 16)


def test_total_weighs_levels_and_orientation_as_published():
    heatmap, volume, field = batch()
    right = output_like(volume, field)
    wrong = output_like(volume, -field)
    difference = ccvpe_loss(wrong, heatmap, volume, field) - ccvpe_loss(right, heatmap, volume, field)
    assert float(difference) == pytest.approx(10 * 4 * float(heatmap.sum()) / 2, rel=1e-3)
    without = ccvpe_loss(right, heatmap, volume, field, weight_info_nce=0.0, weight_orientation=0.0)
    assert float(without) == pytest.approx(math.log(512 * 512), rel=1e-4)


def test_losses_fall_where_scores_agree_with_the_truth():
    heatmap, volume, field = batch()
    blind, agreeing = output_like(volume, field), output_like(volume, field, gain=1.0)
    assert ccvpe_loss(agreeing, heatmap, volume, field) < ccvpe_loss(blind, heatmap, volume, field)
    assert adaptation_loss(agreeing, volume) < adaptation_loss(blind, volume)


def test_adaptation_looks_at_the_two_coarsest_levels_only():
    _, volume, field = batch()
    output = output_like(volume, field)
    before = adaptation_loss(output, volume)
    output.scores = (*output.scores[:2], *(-s for s in output.scores[2:]))
    assert float(adaptation_loss(output, volume)) == float(before)


def test_gradients_reach_logits_field_and_scores():
    heatmap, volume, field = batch()
    output = output_like(volume, -field)
    leaves = [output.logits, output.field, *output.scores]
    for leaf in leaves:
        leaf.requires_grad_()
    ccvpe_loss(output, heatmap, volume, field).backward()
    assert all(leaf.grad is not None and leaf.grad.abs().max() > 0 for leaf in leaves)
