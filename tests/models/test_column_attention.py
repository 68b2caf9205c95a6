# SPDX-License-Identifier: Apache-2.0
"""Column attention against one that gathers every cell's keys, and the grouping that spares that."""

import pytest
import torch

from geodistill_core.models.backbones.column_attention import ColumnAttention, group_by_column

WIDTH, HEADS = 32, 4


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(4)


def gathered(module, x, image, column):
    """Tokens of columns floor(u) and floor(u) + 1, clamped to the image, gathered for every cell."""
    B, h, w, D = x.shape
    last = image.shape[-1] - 1
    tokens = image.permute(0, 3, 2, 1)
    left = column.flatten(1).floor().clamp(-10, last + 10).long()
    batch = torch.arange(B).unsqueeze(1)
    near = torch.cat([tokens[batch, left.clamp(0, last)], tokens[batch, (left + 1).clamp(0, last)]], dim=2)
    q = module.to_q(x).flatten(1, 2).unflatten(-1, (HEADS, -1))
    k, v = (layer(near).unflatten(-1, (HEADS, -1)) for layer in (module.to_k, module.to_v))
    share = (torch.einsum("bnhd,bnkhd->bnhk", q, k) / q.shape[-1] ** 0.5).softmax(dim=-1)
    z = module.prenorm(module.proj(torch.einsum("bnhk,bnkhd->bnhd", share, v).flatten(2)))
    return module.postnorm(z + module.mlp(z)).view(B, h, w, D)


def inputs(w=9):
    module = ColumnAttention(WIDTH, HEADS, 8)
    x, image = torch.randn(2, 6, 70, WIDTH), torch.randn(2, WIDTH, 5, w)
    column = torch.rand(2, 6, 70) * (w + 4) - 2
    column[0, 0] = 3.5  # more cells on one pair of columns than a group holds
    column[:, 1, :6] = torch.tensor([-7e9, 4e9, -1.0, w - 1.0, 2.0, -0.25])
    return module, x, image, column


def test_cells_attend_to_their_two_columns():
    module, x, image, column = inputs()
    with torch.no_grad():
        found = module(x, module.pairs(image), group_by_column(column.flatten(1), image.shape[-1]))
        torch.testing.assert_close(found, gathered(module, x, image, column), atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_gathering():
    module, x, image, column = inputs()
    gradients = []
    for grouped in (True, False):
        ground, overhead = image.clone().requires_grad_(), x.clone().requires_grad_()
        if grouped:
            found = module(overhead, module.pairs(ground), group_by_column(column.flatten(1), image.shape[-1]))
        else:
            found = gathered(module, overhead, ground, column)
        weight = torch.arange(found.numel()).view(found.shape) % 7 - 3.0
        inputs_and_parameters = [ground, overhead, *module.parameters()]
        gradients.append(torch.autograd.grad((found * weight).sum(), inputs_and_parameters))
    for ours, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-3)


def test_every_cell_has_one_slot_in_a_group_of_its_columns():
    _, _, image, column = inputs()
    width = image.shape[-1]
    groups = group_by_column(column.flatten(1), width)
    cells = torch.arange(column.numel())
    assert torch.equal(groups.cell.flatten()[groups.slot], cells)
    assert len(groups.slot.unique()) == len(cells)
    entry = column.flatten(1).floor().clamp(-1, width - 1) + 1 + torch.tensor([[0], [width + 1]])
    assert torch.equal(groups.pair[groups.slot // groups.cell.shape[1]], entry.flatten().long())


def test_groups_are_few():
    groups = group_by_column(torch.rand(1, 4096) * 80, 80)
    assert len(groups.pair) < 4096 / 32 + 81


def test_one_column_serves_an_image_of_one_column():
    module, x, image, column = inputs(w=1)
    with torch.no_grad():
        found = module(x, module.pairs(image), group_by_column(column.flatten(1), 1))
        torch.testing.assert_close(found, gathered(module, x, image, column), atol=1e-5, rtol=1e-5)
