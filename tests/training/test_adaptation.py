# SPDX-License-Identifier: Apache-2.0
"""The adaptation paper's filter, pseudo ground truth and coarse supervision."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from geodistill_training.adapt.filter import change_m, keep
from geodistill_training.adapt.predictions import Predictions, predict, stored
from geodistill_training.adapt.pseudo_set import PseudoLabelled
from geodistill_training.ccvpe_losses import info_nce
from geodistill_training.ccvpe_targets import angles_deg, camera_heatmaps, heading_volumes
from geodistill_training.data.examples import Example, collate
from geodistill_training.families import family_of
from geodistill_training.objectives.pseudo import PseudoObjective
from geodistill_training.objectives.pyramid import gaussian_mass, pooled_logits, pooled_mass
from geodistill_training.recipe import Recipe
from geodistill_training.recipe.objectives import AdaptRecipe
from scipy.io import loadmat
from torch import nn

from geodistill_core.datasets.heatmap_targets import pooled_targets
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.models.base import GroundInput, MapInput
from geodistill_core.models.ccvpe import Ccvpe, CcvpeOutput
from geodistill_core.models.ccvpe_variants import VIGOR_SIZES
from geodistill_core.models.registry import build

RELEASED = Path("../shared/data/adapting")
# reference notes, section 9: T, threshold in px of the 640-px tile, kept, kept and dropped mean in metres
PUBLISHED_TABLE = [
    (0.5, 6.37, 18509, 0.400, 3.65),
    (0.6, 8.00, 22542, 0.476, 4.40),
    (0.7, 10.31, 25919, 0.551, 5.37),
    (0.8, 15.05, 29940, 0.665, 7.46),
    (0.9, 30.82, 33826, 0.858, 12.8),
    (0.95, 78.76, 35703, 1.104, 19.9),
]
SAN_FRANCISCO, CHICAGO, BOUNDARY = 0.118141, 0.111262, 28215


def said(*places, keys=None):
    keys = keys or [f"set/{i}" for i in range(len(places))]
    return Predictions.of([(key, east, north, 0.1, 0.9) for key, (east, north) in zip(keys, places, strict=True)])


def released(name):
    stored_file = loadmat(RELEASED / f"{name}_prediction_on_trainingset.mat")
    return np.stack([stored_file["pred_row_offsets"][0], stored_file["pred_col_offsets"][0]], axis=1)


@pytest.fixture(scope="module")
def real_changes():
    """Changes in pixels, metres per pixel, and the teacher's offsets of the paper's 37 585 target samples."""
    if not (RELEASED / "teacher_prediction_on_trainingset.mat").is_file():
        pytest.skip(f"{RELEASED} is absent")
    teacher, auxiliary = released("teacher"), released("auxiliary_student")
    order = np.load(RELEASED / "shuffled_crossarea_index_list.npy")[: len(teacher)]
    scale = np.where(order < BOUNDARY, SAN_FRANCISCO, CHICAGO)
    return np.linalg.norm(teacher - auxiliary, axis=1), scale, teacher


@pytest.mark.parametrize(("share", "threshold", "kept", "kept_m", "dropped_m"), PUBLISHED_TABLE)
def test_the_filter_on_the_released_predictions_gives_the_published_table(
    real_changes, share, threshold, kept, kept_m, dropped_m
):
    change, scale, _ = real_changes
    found = keep(change, share)
    assert len(found.rows) == kept
    assert found.threshold == pytest.approx(threshold, abs=0.006)
    dropped = np.setdiff1d(np.arange(len(change)), found.rows)
    metres = change * scale
    assert metres[found.rows].mean() == pytest.approx(kept_m, abs=0.0006)
    assert metres[dropped].mean() == pytest.approx(dropped_m, abs=0.05)


def test_dropped_samples_lie_outside_the_box_of_labels_two_and_a_half_times_as_often(real_changes):
    change, _, teacher = real_changes
    kept = keep(change, 0.8).rows
    outside = (np.abs(teacher) > 165).any(axis=1)
    dropped = np.setdiff1d(np.arange(len(change)), kept)
    assert outside[kept].mean() == pytest.approx(0.0189, abs=5e-5)
    assert outside[dropped].mean() == pytest.approx(0.0460, abs=5e-5)


def test_filtering_in_metres_changes_less_than_half_a_percent_of_what_is_kept(real_changes):
    change, scale, _ = real_changes
    pixels, metres = set(keep(change, 0.8).rows.tolist()), set(keep(change * scale, 0.8).rows.tolist())
    assert len(pixels & metres) / len(pixels) == pytest.approx(0.9958, abs=1e-4)


def test_ties_at_the_threshold_are_dropped():
    found = keep(np.array([0.0, 1.0, 2.0, 2.0, 9.0]), 0.5)
    assert found.rows.tolist() == [0, 1]
    assert (found.threshold, found.kept_mean, found.dropped_mean) == (2.0, 0.5, pytest.approx(13 / 3))


def test_a_share_of_one_keeps_everything_and_identical_predictions_are_refused_below_it():
    assert keep(np.zeros(4), 1.0).rows.tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="raise kept_share"):
        keep(np.zeros(4), 0.8)


def test_changes_are_distances_in_metres_between_the_same_examples():
    assert change_m(said((0, 0), (3, 4)), said((0, 2), (0, 0))).tolist() == [2.0, 5.0]
    with pytest.raises(DatasetError, match="other examples"):
        change_m(said((0, 0)), said((0, 0), keys=["set/1"]))


def test_predictions_are_made_once_and_read_again(tmp_path):
    made = []

    def make():
        made.append(True)
        return said((1.5, -2.0))

    first, second = (stored(tmp_path / "teacher" / "predictions.npz", make) for _ in range(2))
    assert len(made) == 1
    assert second.keys.tolist() == first.keys.tolist() == ["set/0"]
    assert (float(second.east_m[0]), float(second.north_m[0])) == (1.5, -2.0)
    (tmp_path / "teacher" / "predictions.npz").write_bytes(b"cut off")
    with pytest.raises(DatasetError, match="delete it"):
        stored(tmp_path / "teacher" / "predictions.npz", make)


class Places:
    """Examples whose heading prior is drawn at every call, so that a second draw would contradict a prediction."""

    def __init__(self, count):
        self.groups, self.looks = [f"g{i}" for i in range(count)], ["look"] * count
        self.places_m = np.arange(2.0 * count).reshape(count, 2)

    def __len__(self):
        return len(self.groups)

    def example(self, index, rng):
        blank = np.zeros((64, 64, 3), np.uint8)
        seen = np.full((64, 64), 255, np.uint8)
        mount = np.array([0, 0, 2], np.float32)
        return Example(f"set/{index}", blank, seen, 0.25, blank, seen, mount, None, float(rng.uniform(-1, 1)), None)


def test_a_pseudo_labelled_set_holds_the_kept_rows_with_the_teachers_pose():
    examples, teacher = Places(4), said((0, 0), (1, 2), (3, 4), (5, 6))
    labelled = PseudoLabelled(examples, teacher, np.array([3, 1]), seed=7)
    assert len(labelled) == 2
    assert labelled.groups == ["g3", "g1"]
    assert labelled.places_m.tolist() == [[6.0, 7.0], [2.0, 3.0]]
    example = labelled.example(1, np.random.default_rng(0))
    assert example.key == "set/1"
    np.testing.assert_allclose(example.truth, [1, 2, 0.1], rtol=1e-6)
    again = labelled.example(1, np.random.default_rng(99))
    assert again.yaw_enu_rad == example.yaw_enu_rad


def test_predictions_of_other_examples_are_refused():
    with pytest.raises(DatasetError, match="3 predictions do not belong to 4 examples"):
        PseudoLabelled(Places(4), said((0, 0), (0, 0), (0, 0)), np.arange(3), seed=7)
    shuffled = said((0, 0), (1, 1), keys=["set/1", "set/0"])
    with pytest.raises(DatasetError, match="set/1 stands where set/0 is"):
        PseudoLabelled(Places(2), shuffled, np.arange(2), seed=7).example(0, np.random.default_rng(0))


def test_the_mass_of_a_gaussian_in_a_cell_is_its_integral():
    mass = gaussian_mass(15, torch.tensor([[1.0, -2.0]]), torch.tensor([0.7]))[0]
    assert float(mass.sum()) == pytest.approx(1.0, abs=1e-6)
    in_one = math.erf(0.5 / 0.7 / math.sqrt(2))
    # one column east, two rows north of the centre cell (7, 7)
    assert float(mass[5, 8]) == pytest.approx(in_one**2, abs=1e-5)
    assert float(mass[7, 8]) == pytest.approx(float(mass[3, 8]), rel=1e-3)


def test_windows_sum_probabilities_and_what_does_not_fill_a_window_is_filled_up():
    torch.manual_seed(3)
    logits = torch.randn(2, 3, 10, 10)
    logits[:, :, 0, 0] = -torch.inf
    probability = logits.flatten(1).softmax(1).view_as(logits)
    pooled = pooled_logits(logits, 4)
    found = pooled.flatten(1).softmax(1).view_as(pooled)
    assert found.shape == (2, 3, 3, 3)
    torch.testing.assert_close(found[:, :, 1, 1], probability[:, :, 4:8, 4:8].sum((-2, -1)))
    torch.testing.assert_close(found[:, :, 2, 2], probability[:, :, 8:, 8:].sum((-2, -1)))
    torch.testing.assert_close(found, pooled_mass(probability, 4))


class Drawing:
    """A family whose heat map is a parameter: what an objective does to it can be read off."""

    autocast = False

    def __init__(self, cells=16, yaws=1):
        self.network = build("tiny", channels=4, widths=(8, 8, 8, 8))
        self.drawn = nn.Parameter(torch.zeros(1, yaws, cells, cells))

    def maps(self, tiles, turn=0):
        return tiles

    def ground(self, ground):
        return ground

    def heatmaps(self, ground, maps, yaw_enu_rad):
        self.asked = yaw_enu_rad
        return (self.drawn.expand(len(yaw_enu_rad), -1, -1, -1),)


def recipe(**adapt):
    return Recipe.model_validate(
        {
            "name": "test",
            "method": "adapt",
            "batch": 1,
            "adapt": adapt,
            "stages": [{"name": "a", "steps": 1, "learning_rate": 1e-3, "cycle": ["pseudo"]}],
        }
    )


def batch_at(east_m, north_m, yaw=0.4):
    example = Places(1).example(0, np.random.default_rng(0))
    truth = np.array([east_m, north_m, yaw], np.float32)
    return collate([Example(**{**{k: getattr(example, k) for k in Example.__slots__}, "truth": truth})], 0, [0])


def test_coarse_supervision_does_not_care_where_in_a_window_the_mass_lies():
    family = Drawing()
    objective = PseudoObjective(family, recipe(coarse_levels=1, temperature=1.0, sigma_cells=0.2))
    with torch.no_grad():
        family.drawn[0, 0, 0, 0] = 5.0
    first, _ = objective.loss(batch_at(-3.25, 3.25))
    with torch.no_grad():
        family.drawn[0, 0, 0, 0], family.drawn[0, 0, 7, 7] = 0.0, 5.0
    second, _ = objective.loss(batch_at(-3.25, 3.25))
    # one window of 8 x 8 cells of four holds 63 + e^5 of 255 + e^5
    first, second = first.detach(), second.detach()
    assert float(first) == pytest.approx(math.log((255 + math.exp(5)) / (63 + math.exp(5))), abs=1e-3)
    assert float(second) == pytest.approx(float(first), abs=1e-5)


def test_all_levels_do_care():
    family = Drawing()
    objective = PseudoObjective(family, recipe(levels="all", temperature=1.0, sigma_cells=0.2))
    losses = []
    for row in (1, 6):
        with torch.no_grad():
            family.drawn.zero_()[0, 0, row, 1] = 5.0
        losses.append(float(objective.loss(batch_at(-3.25, 3.25))[0].detach()))
    assert losses[0] < losses[1] - 1


@pytest.mark.parametrize(("east_m", "north_m", "row", "column"), [(2.75, 0.25, 7, 13), (-3.75, -2.25, 12, 0)])
def test_descending_the_loss_raises_the_heat_map_at_the_pseudo_label(east_m, north_m, row, column):
    family = Drawing()
    objective = PseudoObjective(family, recipe(levels="all", temperature=1.0, sigma_cells=0.3))
    objective.loss(batch_at(east_m, north_m))[0].backward()
    assert int(family.drawn.grad[0, 0].argmin()) == row * 16 + column


def test_headings_beside_the_pseudo_labels_are_lowered():
    family = Drawing(yaws=3)
    objective = PseudoObjective(family, recipe(yaws_deg=[-6, 0, 6], temperature=1.0))
    objective.loss(batch_at(0.25, 0.25))[0].backward()
    np.testing.assert_allclose(np.degrees(family.asked[0].numpy() - 0.4), [-6, 0, 6], atol=1e-4)
    gradient = family.drawn.grad[0].sum((-2, -1)).tolist()
    assert gradient[1] < 0 < gradient[0]
    assert gradient[0] == pytest.approx(gradient[2], rel=1e-4)


def test_no_mass_is_wanted_where_the_map_is_not_valid():
    family = Drawing()
    objective = PseudoObjective(family, recipe(levels="all", temperature=1.0, sigma_cells=2.0))
    with torch.no_grad():
        family.drawn[..., 8:] = -torch.inf
    loss, _ = objective.loss(batch_at(-0.25, 0.25))
    assert float(loss.detach()) < 2 * math.log(128)


def tiny_batch():
    torch.manual_seed(0)
    maps = MapInput(torch.rand(1, 3, 192, 192), torch.ones(1, 192, 192), torch.tensor([0.25]))
    seen = (torch.rand(1, 3, 192, 256), torch.ones(1, 192, 256), torch.tensor([[0.0, 0.0, 2.0]]))
    return maps, GroundInput(*seen)


def test_the_heat_map_target_is_the_networks_own_at_the_start_and_stays_when_the_network_moves():
    torch.manual_seed(1)
    network = build("tiny", channels=4, widths=(8, 8, 8, 8), cells=65)
    options = recipe(target="heatmap", levels="all", temperature=0.05)
    objective = PseudoObjective(family_of(network), options)
    maps, ground = tiny_batch()
    base = batch_at(1.0, -1.0)
    batch = replace(base, maps=maps, ground=ground, teacher_maps=maps, teacher_ground=ground)
    at_start = objective.loss(batch)[0]
    # cross-entropy with itself is stationary
    at_start.backward()
    assert max(float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None) < 1e-4
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert float(objective.loss(batch)[0]) > float(at_start.detach()) + 1e-3
    resumed = PseudoObjective(family_of(network), options)
    resumed.load_state_dict(objective.state_dict())
    assert float(resumed.loss(batch)[0]) == float(objective.loss(batch)[0])


class StubbedCcvpe(Ccvpe):
    """The sizes and conventions of the adaptation paper's network without its weights; scores are given."""

    def __init__(self, scores):
        nn.Module.__init__(self)
        self.sizes, self.turn, self.scores = VIGOR_SIZES, 1, scores

    def decode(self, ground, maps):
        return CcvpeOutput(torch.zeros(1, 512, 512), torch.zeros(1, 2, 512, 512), self.scores)


def test_ccvpe_learns_from_the_published_loss_of_the_two_coarsest_levels():
    torch.manual_seed(2)
    scores = tuple(torch.rand(1, 20, cells, cells) for cells in (8, 16, 32))
    base = batch_at(75.5 * 0.14, -50.5 * 0.14, yaw=math.radians(90 + 27))
    blank = torch.zeros(1, 3, 512, 512)
    batch = replace(base, maps=replace(base.maps, rgb=blank, metres_per_pixel=torch.tensor([0.14])))
    family = Drawing()
    family.network = StubbedCcvpe(scores)
    found, _ = PseudoObjective(family, recipe()).loss(batch)
    heatmaps = camera_heatmaps(family.network, batch, 4.0)
    assert heatmaps[0].max() == heatmaps[0, 256 + 50, 256 + 75]
    assert angles_deg(family.network, batch) == pytest.approx([27.0], abs=1e-4)
    volume = heading_volumes(family.network, heatmaps, [27.0])
    # 27 degrees are a bin and a half of 18: channels 19 and 18 share it
    assert volume[0, 19].sum() == pytest.approx(float(volume[0, 18].sum()))
    targets = pooled_targets(volume)
    expected = [1e4 * float(info_nce(s, t, 0.0)) for s, t in zip(scores, targets[:3], strict=True)]
    assert float(found) == pytest.approx((expected[0] + expected[1]) / 2, rel=1e-5)
    deeper, _ = PseudoObjective(family, recipe(coarse_levels=3)).loss(batch)
    assert float(deeper) == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_a_prediction_is_the_mode_of_the_heat_map(monkeypatch):
    family = Drawing(cells=64, yaws=3)
    with torch.no_grad():
        family.drawn[0, 2, 10, 40] = 3.0
    monkeypatch.setattr("geodistill_training.adapt.predictions.family_of", lambda network: family)
    found = predict(family.network, Places(1), AdaptRecipe(search_deg=3.0), seed=5)
    prior = Places(1).example(0, np.random.default_rng([5, 0, 2_000_003])).yaw_enu_rad
    assert float(found.east_m[0]) == pytest.approx((40 + 0.5 - 32) * 0.5, abs=1e-6)
    assert float(found.north_m[0]) == pytest.approx((32 - 10 - 0.5) * 0.5, abs=1e-6)
    assert float(found.yaw_enu_rad[0]) == pytest.approx(prior + math.radians(3), abs=1e-5)
    assert float(found.confidence[0]) == pytest.approx(1.0, abs=1e-6)
