# SPDX-License-Identifier: Apache-2.0
"""The pose refiner's steps: who is asked when, what starts again, what a pose means."""

import math

import pytest
import torch

from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.ggcvt_refined import HEADING_RANGE_RAD, GgcvtKittiRefined
from geodistill_core.models.pose_refiner import PoseRefiner

CHANNELS = (6, 4, 2)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(6)


def constant(change, batch=2, rounds=2):
    """A refiner whose regressors always answer `change`, and the (level, pose) that it asked differences for."""
    refiner, asked = PoseRefiner(CHANNELS, rounds).eval(), []
    for regressor in refiner.regressors:
        torch.nn.init.zeros_(regressor.head.weight)
        regressor.head.bias.data = torch.tensor(change)

    def difference(level, pose):
        asked.append((level, pose.clone()))
        return torch.randn(batch, CHANNELS[level], 32, 32)

    return refiner, difference, asked


@torch.no_grad()
def test_levels_are_asked_from_coarse_to_fine_each_at_the_pose_so_far():
    refiner, difference, asked = constant([0.1, -0.2, 0.5])
    steps = refiner(difference, torch.zeros(2, 3))
    assert [level for level, _ in asked] == [0, 1, 2, 0, 1, 2]
    before = torch.cat([torch.zeros(2, 1, 3), steps.poses[:, :-1]], dim=1)
    torch.testing.assert_close(torch.stack([pose for _, pose in asked], dim=1), before)
    torch.testing.assert_close(steps.poses[:, -1], torch.tensor([[0.6, -1.2, 3.0]] * 2))


@torch.no_grad()
def test_far_shifts_start_again_within_one_unit_and_headings_do_not():
    refiner, difference, _ = constant([2.5, 0.0, 4.0], rounds=1)
    poses = refiner(difference, torch.zeros(2, 3), torch.Generator().manual_seed(0)).poses
    assert bool((poses[:, :, 0].abs() < 1).all()) and len(poses[:, :, 0].unique()) == 6
    assert bool((poses[:, :, 1] == 0).all())
    assert poses[0, :, 2].tolist() == [4.0, 8.0, 12.0]


@torch.no_grad()
def test_restarts_follow_their_generator():
    refiner, difference, _ = constant([3.0, -3.0, 0.0])
    first, again, other = (
        refiner(difference, torch.zeros(2, 3), torch.Generator().manual_seed(seed)).poses for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@torch.no_grad()
def test_numbers_are_drawn_at_every_step_needed_or_not():
    refiner, difference, _ = constant([0.0, 0.0, 0.0])
    generator, other = torch.Generator().manual_seed(9), torch.Generator().manual_seed(9)
    refiner(difference, torch.zeros(2, 3), generator)
    for _ in range(6 * 2):
        torch.rand(2, generator=other)
    assert torch.equal(generator.get_state(), other.get_state())


class Small(GgcvtKittiRefined):
    image_size = (64, 256)
    map_size_px = 256


def small_frame(geometry):
    network = Small(geometry=geometry).eval()
    tiles = MapInput(torch.rand(1, 3, 256, 256), torch.ones(1, 256, 256), torch.tensor([0.2]))
    camera = torch.tensor([[[150.0, 0.0, 128.0], [0.0, 150.0, 20.0], [0.0, 0.0, 1.0]]])
    image = GroundInput(torch.rand(1, 3, 64, 256), torch.ones(1, 64, 256), torch.tensor([[0.0, 0.0, 1.6]]), camera)
    return network, network.encode_ground(image), network.encode_map(tiles)


@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_headings_are_refined_from_the_guess_in_tens_of_degrees(geometry):
    with torch.no_grad():
        network, ground, maps = small_frame(geometry)
        yaw, steps = network.refine(ground, maps, torch.tensor([0.3]), torch.Generator().manual_seed(0))
    turned = math.radians(10) * float(steps.changes[0, :, 2].sum())
    assert float(yaw) == pytest.approx(0.3 + turned, abs=1e-5)


@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_a_turned_pose_is_a_turned_guess(geometry):
    with torch.no_grad():
        network, ground, maps = small_frame(geometry)
        pose, turned = torch.tensor([[0.1, 0.0, 0.0]]), torch.tensor([[0.1, 0.0, 0.5]])
        one = network.difference(ground, maps, 1, torch.tensor([0.2 + 0.5 * HEADING_RANGE_RAD]), pose)
        other = network.difference(ground, maps, 1, torch.tensor([0.2]), turned)
        straight = network.difference(ground, maps, 1, torch.tensor([0.2]), pose)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    assert float((one - straight).abs().max()) > 1e-3


@pytest.mark.parametrize("geometry", ["compat", "corrected"])
def test_a_pose_ahead_empties_the_cells_that_lie_behind_it(geometry):
    with torch.no_grad():
        network, ground, maps = small_frame(geometry)
        ahead = network.difference(ground, maps, 2, torch.zeros(1), torch.tensor([[0.4, 0.0, 0.0]]))
    shown = (ahead + maps.features[2]).abs().sum(dim=1)[0] > 0
    first = int(shown.any(dim=0).float().argmax())
    metres = (first - shown.shape[1] / 2) * 2 * 0.2
    assert metres == pytest.approx(8.0 + 150 * 1.6 / (63 - 20), abs=0.5)  # 0.4 units of 20 m, then the lowest row
