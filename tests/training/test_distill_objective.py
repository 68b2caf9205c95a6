# SPDX-License-Identifier: Apache-2.0
"""GeoDistill's objective and its ablations; the weak objective's published form."""

import math
from dataclasses import fields

import pytest
import torch
from geodistill_training.families import family_of
from geodistill_training.objectives.distill import DistillObjective, most_confident
from geodistill_training.objectives.weak import WeakObjective
from geodistill_training.published_losses import contrastive_loss, distillation_loss, gps_gap

from geodistill_core.errors import ConfigError
from tests.training.small_networks import batch_for, recipe, small

LEVELS = ("tiny", "g2sweakly_vigor", "ggcvt_vigor", "ccvpe")


def objective(name="tiny", **options):
    return DistillObjective(family_of(small(name)), recipe("distill", distill=options))


def similarities(seed, *sizes):
    draw = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 1, size, size, generator=draw) * 2 - 1 for size in sizes]


def test_it_is_the_published_loss_of_the_same_similarities():
    made = objective(temperature=0.09, student_temperature=0.2)
    student, teacher = similarities(1, 6, 9), similarities(2, 6, 9)
    made.teacher.heatmaps = lambda *_: teacher
    batch = batch_for(made.family.network)
    targets = made.target(batch, batch.yaw_enu_rad[:, None])
    found, _ = made.compare(student, targets)
    distances = [[2 - 2 * x[:, 0] for x in levels] for levels in (student, teacher)]
    assert float(found) == pytest.approx(float(distillation_loss(*distances, 0.2, 0.09)), rel=1e-5)


def test_divergence_takes_the_targets_entropy_off_and_is_zero_in_agreement():
    levels = similarities(3, 5)
    heat = torch.softmax(levels[0].flatten(1) / 0.06, dim=1).view_as(levels[0])
    entropy = float(-(heat * heat.log()).flatten(1).sum(1).mean())
    cross, _ = objective().compare(levels, [heat])
    kl, watched = objective(divergence="kl").compare(levels, [heat])
    assert float(cross) == pytest.approx(entropy, rel=1e-4)
    assert float(kl) == pytest.approx(0.0, abs=1e-5)
    assert watched["teacher_entropy"] == pytest.approx(entropy, rel=1e-4)


@pytest.mark.parametrize(("target", "temperature"), [("sharpened", 0.03), ("unsharpened", 0.2)])
def test_targets_are_divided_by_their_temperature(target, temperature):
    made = objective(target=target, temperature=0.03, student_temperature=0.2)
    teacher = similarities(4, 5)
    made.teacher.heatmaps = lambda *_: teacher
    batch = batch_for(made.family.network)
    (heat,) = made.target(batch, batch.yaw_enu_rad[:, None])
    best, other = teacher[0][0].flatten().topk(2).values
    values = heat[0].flatten().topk(2).values
    assert float(values[0] / values[1]) == pytest.approx(math.exp(float(best - other) / temperature), rel=1e-3)


def test_single_mode_is_one_at_the_maximum_and_zero_elsewhere():
    made = objective(target="single_mode")
    teacher = similarities(5, 5)
    made.teacher.heatmaps = lambda *_: teacher
    batch = batch_for(made.family.network)
    (heat,) = made.target(batch, batch.yaw_enu_rad[:, None])
    assert heat.flatten(1).sum(1).tolist() == [1.0, 1.0]
    assert torch.equal(heat.flatten(1).argmax(1), teacher[0].flatten(1).argmax(1))


def test_positions_that_the_student_cannot_judge_do_not_count():
    made, level = objective(), similarities(6, 4)[0]
    heat = torch.full_like(level, 1 / 16)
    level[:, :, 0] = -torch.inf
    found, _ = made.compare([level], [heat])
    below = level[:, :, 1:].flatten(1)
    expected = -torch.log_softmax(below / 0.06, dim=1).mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def moved(made, steps, steps_per_epoch=3):
    """The teacher's first weight after steps, where the student's is 1 and it began at 0."""
    student, teacher = (next(iter(f.network.parameters())) for f in (made.family, made.teacher))
    with torch.no_grad():
        student.fill_(1.0)
        teacher.fill_(0.0)
        seen = []
        for _ in range(steps):
            made.after_step(steps_per_epoch)
            seen.append(float(teacher.flatten()[0]))
    return seen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 0, 0.1, 0.1, 0.1, 0.19]),
        ({"teacher_period": 1, "teacher_decay": 0.5}, [0.5, 0.75, 0.875, 0.9375, 0.96875, 0.984375]),
        ({"teacher": "previous"}, [0, 0, 1, 1, 1, 1]),
        ({"teacher": "fixed", "teacher_period": 1}, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_the_teacher_moves_at_its_rhythm(options, expected):
    assert moved(objective(**options), 6) == pytest.approx(expected, abs=1e-6)


def test_a_stage_begins_with_the_students_weights_and_a_new_rhythm():
    made = objective()
    moved(made, 2)
    made.begin_stage()
    assert float(next(iter(made.teacher.network.parameters())).flatten()[0]) == 1.0
    assert moved(made, 3) == pytest.approx([0, 0, 0.1])


def test_a_resumed_teacher_has_its_weights_and_its_rhythm():
    made, resumed = objective(), objective()
    moved(made, 4)
    resumed.load_state_dict(made.state_dict())
    pairs = zip(made.teacher.network.parameters(), resumed.teacher.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert resumed.steps == 4


@pytest.mark.parametrize("name", LEVELS)
def test_every_network_with_heat_maps_distils(name):
    made = objective(name)
    batch = batch_for(made.family.network, truth=None)
    made.family.network.eval()
    blind, _ = DistillObjective(made.family, recipe("distill", distill={"mask": "none", "divergence": "kl"})).loss(
        batch
    )
    assert float(blind.detach()) == pytest.approx(0.0, abs=1e-3)
    loss, _ = made.loss(batch)
    loss.backward()
    assert all(p.grad is None for p in made.teacher.network.parameters())
    student = [p.grad for n, p in made.family.network.named_parameters() if "ground" in n and p.grad is not None]
    assert student
    assert all(bool(grad.isfinite().all()) for grad in student)
    assert any(bool(grad.any()) for grad in student)


def test_the_kept_network_is_the_teacher_unless_the_student_is_asked_for():
    made = objective()
    assert made.kept is made.teacher
    student = objective(keep="student")
    assert student.kept is student.family


def test_networks_that_cannot_average_turned_maps_say_so():
    made = objective("g2sweakly_vigor", turns=4)
    with pytest.raises(ConfigError, match="set turns: 1"):
        made.loss(batch_for(made.family.network))


class Given:
    """A family whose best similarities are given."""

    def __init__(self, best, own):
        self.best, self.own, self.hidden, self.turns = best, own, [], 1
        self.network = small("g2sweakly_vigor")

    def maps(self, tiles, turn):
        return tiles

    def ground(self, ground):
        return ground

    def hidden_ground(self, ground, mask, masked):
        self.hidden.append((mask, masked))
        return ground

    def nearest(self, ground, maps, yaw, metres_per_pixel):
        return self.best

    def heatmaps(self, ground, maps, yaw):
        return self.own


def test_the_published_form_of_the_weak_objective_is_the_published_loss():
    best = tuple(torch.rand(2, 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    family = Given(best, None)
    batch = batch_for(family.network)
    loss, _ = WeakObjective(family, recipe(weak={"form": "published"})).loss(batch)
    distances = [2 - 2 * level[:, :, None, None] for level in best]
    assert float(loss) == pytest.approx(float(contrastive_loss(distances)), rel=1e-5)
    assert family.hidden == []


def test_a_fix_at_the_tiles_centre_adds_the_published_gps_term():
    best, own = (torch.rand(2, 2),) * 2, tuple(similarities(7, 11, 40))
    family = Given(best, own)
    batch = batch_for(family.network)
    plain, _ = WeakObjective(family, recipe()).loss(batch)
    both, watched = WeakObjective(family, recipe(weak={"gps_coefficient": 2.0, "gps_radius_m": 1.0})).loss(batch)
    # cells of 1.13 and 0.28 m: one and four cells to either side
    cells = zip(own, (1, 4), strict=True)
    expected = [float(gps_gap(2 - 2 * x[:, 0], torch.zeros(2, 2), torch.tensor([r, r]))) for x, r in cells]
    assert watched["gps"] == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert float(both - plain) == pytest.approx(sum(expected), rel=1e-4)


def test_a_field_of_view_as_plain_augmentation_hides_images_and_features():
    family = Given((torch.rand(2, 2),), None)
    WeakObjective(family, recipe(weak={"visible_deg": [90, 91]})).loss(batch_for(family.network))
    ((mask, masked),) = family.hidden
    assert masked == "both"
    assert (mask[:, 0] == 1).sum(1).tolist() == [32, 32]


def test_the_most_confident_heat_maps_have_one_narrow_mode():
    flat, split, narrow, blurred = torch.zeros(4, 1, 32, 32)
    flat += 1 / 32**2
    split[0, 4, 4] = split[0, 25, 25] = 0.5
    narrow[0, 9, 9] = 1.0
    blurred[0, 14:17, 14:17] = 1 / 9
    stacked = torch.stack([flat, narrow, split, blurred])
    assert most_confident(stacked, 0.5).tolist() == [1, 3]
    assert most_confident(stacked, 0.75).tolist() == [1, 2, 3]
    assert most_confident(stacked, 0.01).numel() == 1


def test_what_the_teacher_doubts_is_not_learned_from():
    made = objective(confident_share=0.5, mask="none")
    batch = batch_for(made.family.network)
    doubted, sure = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    sure[..., 2, 2] = 1.0
    asked = []
    made.teacher.heatmaps = lambda *_: (torch.cat([doubted, sure]),)
    made.family.heatmaps = lambda ground, maps, yaw: asked.append(yaw) or (sure.requires_grad_(),)
    made.loss(batch)
    torch.testing.assert_close(asked[0], batch.yaw_enu_rad[1:, None])


def test_a_selection_of_a_batch_holds_the_same_examples_throughout():
    batch = batch_for(small("geodistill_kitti_vgg"))
    kept = batch.select(torch.tensor([1]))
    assert (len(kept), kept.keys, kept.rows.tolist()) == (1, batch.keys[1:], batch.rows.tolist()[1:])
    for name in ("maps", "ground", "teacher_maps", "teacher_ground"):
        for field in fields(getattr(batch, name)):
            whole, part = (getattr(getattr(b, name), field.name) for b in (batch, kept))
            assert (whole is None) == (part is None)
            assert whole is None or torch.equal(part[0], whole[1])
    torch.testing.assert_close(kept.yaw_enu_rad, batch.yaw_enu_rad[1:])
