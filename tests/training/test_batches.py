# SPDX-License-Identifier: Apache-2.0
"""Which examples meet in a batch, what is done to them, and what a teacher sees of them."""

import math

import numpy as np
import pytest
import torch
from geodistill_training.data.batches import StepBatches
from geodistill_training.data.photometry import photometric
from geodistill_training.data.plan import BatchPlan
from geodistill_training.data.synth_cache import city_jobs, render_city
from geodistill_training.data.synth_pairs import CachedPairs, StreamedPairs
from geodistill_training.recipe.data import SynthData
from geodistill_training.recipe.network import NetworkRecipe
from noise_cities import DISTILL, WEAK, recipe_of, sets_of, write_cities

from geodistill_core.errors import ConfigError
from geodistill_core.models.registry import build


@pytest.fixture(scope="module")
def cities(tmp_path_factory):
    return write_cities(tmp_path_factory.mktemp("cities"))


def plan_of_two_looks(spacing_m=100.0, seed=1):
    """Sixty places on a line of ten metres each, half of them of another look."""
    places = np.stack([np.arange(60) * 10.0, np.zeros(60)], axis=1)
    looks = ["brick" if i % 2 else "glass" for i in range(60)]
    return BatchPlan(["plane"] * 60, looks, places, 3, spacing_m, seed), places, looks


def test_no_two_examples_of_a_batch_lie_closer_than_the_spacing_and_all_share_one_look():
    plan, places, looks = plan_of_two_looks()
    for turn in range(3 * plan.steps_per_epoch):
        chosen = list(plan.indices(turn))
        apart = np.abs(places[chosen, None, 0] - places[None, chosen, 0]) + 1e9 * np.eye(3)
        assert apart.min() >= 100.0
        assert len({looks[i] for i in chosen}) == 1


def test_a_pass_shows_nothing_twice_and_the_next_pass_is_in_another_order():
    plan, _, _ = plan_of_two_looks(spacing_m=0.0)
    first, second = ([i for batch in plan.epoch(epoch) for i in batch] for epoch in (0, 1))
    assert sorted(first) == list(range(60)) == sorted(second)
    assert first != second


def test_the_batch_of_a_step_does_not_depend_on_what_was_asked_before():
    asked_late, _, _ = plan_of_two_looks()
    asked_in_order, _, _ = plan_of_two_looks()
    in_order = [asked_in_order.indices(turn) for turn in range(40)]
    assert asked_late.indices(39) == in_order[39]


def test_a_batch_that_no_places_can_fill_is_refused_with_its_size_and_spacing():
    with pytest.raises(ConfigError, match=r"no batch of 3 examples lies 5000(\.0)? m apart"):
        plan_of_two_looks(spacing_m=5000.0)


def test_ranks_hold_the_rows_of_the_global_batch_in_turn(cities):
    recipe = recipe_of(WEAK, batch=4)
    whole = StepBatches(recipe, sets_of(cities, recipe))[1]
    for rank in (0, 1):
        part = StepBatches(recipe, sets_of(cities, recipe), rank, 2)[1]
        assert part.rows.tolist() == [rank, rank + 2]
        assert part.keys == whole.keys[rank::2]
        assert torch.equal(part.maps.rgb, whole.maps.rgb[rank::2])


def test_a_teacher_sees_the_pictures_as_they_are_and_learning_sees_them_changed(cities):
    recipe = recipe_of(DISTILL)
    sets = sets_of(cities, recipe)
    batch = StepBatches(recipe, sets)[0]
    stored = {f"noise-{c}/{r}": sets["distill"].example(4 * c + r, None) for c in range(2) for r in range(4)}
    for row, key in enumerate(batch.keys):
        assert torch.equal(batch.teacher_maps.rgb[row], torch.from_numpy(stored[key].tile).permute(2, 0, 1) / 255)
        assert torch.equal(
            batch.teacher_ground.pixels[row], torch.from_numpy(stored[key].pixels).permute(2, 0, 1) / 255
        )
    assert not torch.equal(batch.maps.rgb, batch.teacher_maps.rgb)
    assert torch.equal(batch.ground.mount, batch.teacher_ground.mount)


def test_without_augmentation_nothing_is_changed(cities):
    recipe = recipe_of(DISTILL, augment=False)
    batch = StepBatches(recipe, sets_of(cities, recipe))[0]
    assert torch.equal(batch.maps.rgb, batch.teacher_maps.rgb)


def test_photometric_variety_moves_no_edge():
    """A step between black and white stays where it is: brightness changes, geometry does not."""
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 255
    edges = []
    for seed in range(60):
        grey = photometric(step, np.random.default_rng(seed)).astype(np.float32).mean(axis=(0, 2))
        edges.append(int(np.abs(np.diff(grey[24:40])).argmax()) + 24)
    assert np.median(edges) == 31
    assert np.mean(np.abs(np.array(edges) - 31) <= 2) >= 0.95


def test_streamed_and_rendered_cities_are_the_same_examples_and_labels_come_only_when_asked(tmp_path):
    data = SynthData(styles=("suburb",), cities_per_style=1, pairs_per_city=3, flats_per_city=1, pinhole_share=0.5)
    network = NetworkRecipe()
    (job,) = city_jobs(data, network, tmp_path, "pairs")
    job.path.parent.mkdir(parents=True)
    render_city(job, data, network)
    cached, streamed = CachedPairs([job.path], labels=True), StreamedPairs(data, build("tiny"), labels=True)
    assert len(cached) == len(streamed) == 3
    assert np.allclose(cached.places_m, streamed.places_m, atol=1e-3)
    for index in range(3):
        a, b = cached.example(index, None), streamed.example(index, None)
        for name in ("tile", "valid", "pixels", "visible", "mount", "truth"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert a.yaw_enu_rad == pytest.approx(b.yaw_enu_rad, abs=1e-6)
        assert math.hypot(*a.truth[:2]) <= 13 * math.sqrt(2)
    assert CachedPairs([job.path]).example(0, None).truth is None
    assert StreamedPairs(data, build("tiny")).example(0, None).truth is None


def test_a_city_that_another_process_put_there_meanwhile_stays_and_nothing_else_is_left(tmp_path):
    data = SynthData(styles=("suburb",), cities_per_style=1, flats_per_city=1)
    (job,) = city_jobs(data, NetworkRecipe(), tmp_path, "flats")
    job.path.mkdir(parents=True)
    (job.path / "theirs").touch()
    render_city(job, data, NetworkRecipe())
    assert [path.name for path in job.path.iterdir()] == ["theirs"]
    assert list(job.path.parent.iterdir()) == [job.path]


def test_networks_that_read_alike_share_a_cache_and_others_do_not(tmp_path):
    data = SynthData(cities_per_style=1)
    narrow = NetworkRecipe(arguments={"widths": [8, 8, 8, 8]})
    other = NetworkRecipe(architecture="g2sweakly_vigor")
    folders = [city_jobs(data, made, tmp_path, "pairs")[0].path.parent for made in (NetworkRecipe(), narrow, other)]
    assert folders[0] == folders[1] != folders[2]


def test_clear_conditions_have_no_partly_covered_view_and_mixed_ones_make_every_third_another():
    clear, mixed = (SynthData(styles=("suburb",), first_seed=9_998, conditions=c) for c in ("clear", "mixed"))
    assert clear.rendering() != mixed.rendering()
    a, b = (StreamedPairs(data, build("tiny")) for data in (clear, mixed))
    same = [np.array_equal(a.example(i, None).pixels, b.example(i, None).pixels) for i in range(6)]
    assert same == [True, True, False, True, True, False]
    assert all(a.example(i, None).visible.any(axis=0).all() for i in range(6))
