# SPDX-License-Identifier: Apache-2.0
"""The published losses against explicit loops and values worked out by hand."""

import math

import pytest
import torch
from geodistill_training.published_losses import (
    batch_distances,
    contrastive_loss,
    distillation_loss,
    gps_loss,
    pair_distances,
    triplet_loss,
    weak_loss,
)
from geodistill_training.published_measures import best_offset_cells, kitti_offset_m

from geodistill_core.errors import ConfigError
from geodistill_core.models.correlation import correlation_map


def random(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_best(positions, row, column):
    """A distance map of ones [1, 1, P, P] with a zero."""
    distance = torch.ones(1, 1, positions, positions, dtype=torch.float64)
    distance[..., row, column] = 0.0
    return distance


def test_pair_distance_is_zero_where_the_template_was_cut_and_four_where_its_negative_was():
    features = random(2, 3, 12, 12)
    template = features[:, :, 2:7, 4:9].clone()
    template[1] *= -2.5
    distance = pair_distances(correlation_map(features), template)
    assert distance[0, 2, 4] == pytest.approx(0.0, abs=1e-9)
    assert distance[1, 2, 4] == pytest.approx(4.0, abs=1e-9)


def test_batch_distances_are_those_of_every_pair():
    features, template, confidence = random(2, 3, 12, 12), random(3, 3, 5, 5, seed=4), random(3, 5, 5, seed=5).abs()
    got = batch_distances(correlation_map(features), template, confidence)
    for m in range(2):
        for n in range(3):
            pair = correlation_map(features[m : m + 1]), template[n : n + 1], confidence[n : n + 1]
            torch.testing.assert_close(got[m, n], pair_distances(*pair)[0])


def test_batch_distances_to_weighted_maps_share_the_energy_of_all_templates():
    features, weight = random(2, 3, 12, 12), random(2, 12, 12, seed=6).abs()
    template = random(1, 3, 5, 5, seed=4).expand(2, -1, -1, -1)
    weighted = batch_distances(correlation_map(features, weight), template)
    own = pair_distances(correlation_map(features, weight), template)
    torch.testing.assert_close(2 - weighted[0, 0], (2 - own[0]) / math.sqrt(2))


def test_contrastive_loss_counts_true_pairs_but_does_not_divide_by_them():
    distances = random(3, 3, 4, 4).abs()
    total = 0.0
    for m in range(3):
        for n in range(3):
            total += math.log1p(math.exp(10 * float(distances[m, m].min() - distances[m, n].min())))
    assert contrastive_loss([distances]).item() == pytest.approx(total / (3 * 2))
    both = contrastive_loss([distances, torch.zeros(3, 3, 2, 2).double()]).item()
    assert both == pytest.approx((total / 6 + 9 * math.log(2) / 6) / 2)


@pytest.mark.parametrize(
    ("row", "column", "expected"), [(1, 3, 0.0), (4, 6, 0.0), (5, 5, 1.0), (0, 5, 1.0), (3, 7, 1.0)]
)
def test_gps_loss_is_zero_when_the_best_cell_lies_in_the_half_open_square(row, column, expected):
    # 9 positions: centre index 4; the offset (1, -1) is cell (row 3, column 5), radius 2: rows 1..4, columns 3..6
    loss = gps_loss([one_best(9, row, column)], [torch.tensor([[1.0, -1.0]])], [torch.tensor([2])])
    assert loss.item() == expected


def test_gps_position_beyond_the_map_counts_as_its_border():
    loss = gps_loss([one_best(9, 4, 8)], [torch.tensor([[30.0, 0.0]])], [torch.tensor([2])])
    assert loss.item() == 0.0


def test_weak_loss_adds_the_gps_term_with_its_coefficient():
    distances, offsets, radii = [random(3, 3, 6, 6).abs()], [torch.zeros(3, 2)], [torch.ones(3, dtype=torch.long)]
    total, contrastive, gps = weak_loss(distances, offsets, radii, gps_coefficient=2.0)
    assert gps > 0
    assert total.item() == pytest.approx(contrastive.item() + 2 * gps.item())
    assert weak_loss(distances, offsets, radii)[0].item() == pytest.approx(contrastive.item())


def test_triplet_loss_compares_the_true_cell_with_every_cell():
    distances, offset = random(2, 5, 5).abs(), torch.tensor([[1.0, -2.0], [0.0, 1.0]])
    total = 0.0
    for distance, (right, down) in zip(distances, offset.tolist(), strict=True):
        truth = float(distance[2 + int(down), 2 + int(right)])
        total += sum(math.log1p(math.exp(10 * (truth - float(d)))) for d in distance.flatten())
    assert triplet_loss([distances], [offset]).item() == pytest.approx(total / (2 * 24))
    levels = [distances, distances], [offset, offset]
    assert triplet_loss(*levels, over_levels="sum").item() == pytest.approx(2 * triplet_loss(*levels).item())


def test_true_cell_outside_the_positions_is_an_error():
    with pytest.raises(ConfigError, match=r"3\.0 cells lies outside the 5 x 5"):
        triplet_loss([torch.ones(1, 5, 5)], [torch.tensor([[0.0, -3.0]])])


def test_distillation_loss_of_two_cells_is_worked_out_by_hand():
    # similarities (2 - d) / 2 of 0.06 ln 3 and 0 make heat maps (3/4, 1/4) at a temperature of 0.06
    teacher = torch.tensor([[[2 - 2 * 0.06 * math.log(3), 2.0]]], dtype=torch.float64)
    student = torch.tensor([[[2.0, 2.0]]], dtype=torch.float64)
    assert distillation_loss([student], [teacher]).item() == pytest.approx(math.log(2))
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert distillation_loss([teacher], [teacher]).item() == pytest.approx(entropy)
    assert distillation_loss([student, teacher], [teacher, teacher]).item() == pytest.approx(
        (math.log(2) + entropy) / 2
    )


def test_distillation_loss_is_least_when_the_student_agrees():
    student, teacher = random(2, 6, 6).requires_grad_(), random(2, 6, 6, seed=9)
    distillation_loss([student], [teacher], 0.2, 0.2).backward()
    assert student.grad.abs().max() > 1e-3
    agreed = teacher.clone().requires_grad_()
    distillation_loss([agreed], [teacher], 0.2, 0.2).backward()
    assert agreed.grad.abs().max() < 1e-12


def test_middle_of_an_odd_map_reads_as_zero_with_half_a_cell_added():
    similarity = torch.zeros(1, 79, 79)
    similarity[0, 39, 39] = 1.0
    assert best_offset_cells(similarity, bias_cells=0.5).tolist() == [[0.0, 0.0]]
    assert best_offset_cells(similarity).tolist() == [[-0.5, -0.5]]


def test_kitti_offset_ignores_cells_beyond_thirty_metres_and_turns_into_the_vehicle():
    similarity = torch.zeros(1, 81, 81)
    similarity[0, 40 - 4, 40 + 6] = 1.0  # 6 m right, 4 m up at one metre per cell
    similarity[0, 2, 40] = 2.0  # 38 m up: not searched
    offset, searched = kitti_offset_m(similarity, 1.0, torch.tensor([math.pi / 2]))
    assert searched.shape == (1, 60, 60)
    straight, _ = kitti_offset_m(similarity, 1.0, torch.tensor([0.0]))
    right, up = straight[0].tolist()
    assert (right, up) == pytest.approx((6.5, 3.5))  # 60 of 81 cells cannot be cut evenly
    assert offset[0].tolist() == pytest.approx([up, -right], abs=1e-5)
