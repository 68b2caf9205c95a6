# SPDX-License-Identifier: Apache-2.0
"""VIGOR as examples: the published parts, the published pixels, and no label unless asked for."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from geodistill_training.data.vigor_pairs import VigorPairs
from geodistill_training.recipe.data import VigorData
from pydantic import ValidationError

from geodistill_core.datasets.check import refuse_leak
from geodistill_core.datasets.vigor.pairs import ANTIALIASED, load_pair
from geodistill_core.errors import DatasetError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.models import build
from tests.twins.trees import copy_of, replace_file, vigor_tree

CITIES = ("NewYork", "Seattle", "SanFrancisco", "Chicago")


@pytest.fixture(scope="module")
def tiny():
    return build("tiny", widths=(8, 8, 8, 8))


@pytest.fixture(scope="module")
def published():
    return build("g2sweakly_vigor", geometry="compat", shared=True)


def _pairs(network, labels=True, **options):
    return VigorPairs(VigorData(root=vigor_tree()[0], **options), network, labels)


def _rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def lists(tmp_path):
    """Label files alone: four samples a city, each panorama named by its number in the list."""
    for c, city in enumerate(CITIES):
        for folder, suffix in (("splits__corrected", "__corrected"), ("splits", "")):
            (tmp_path / folder / city).mkdir(parents=True)
            for name in ("same_area_balanced_train", "same_area_balanced_test", "pano_label_balanced"):
                lines = []
                for i in range(4):
                    number = 4 * (c % 2 if name.startswith("pano") else c) + i
                    rest = " ".join([f"satellite_{40 + c}.{i}_-70.0.png 0.0 0.0"] * 4)
                    lines.append(f"{name}-{number}{suffix},1.{i},2.{c},.jpg {rest}\n")
                (tmp_path / folder / city / f"{name}{suffix}.txt").write_text("".join(lines))
    return tmp_path


def _numbers(pairs):
    return [
        int(sample.panorama_name.split(",")[0].split("-")[1].removesuffix("__corrected")) for sample in pairs.samples
    ]


def test_the_weak_division_is_the_published_one_of_sixteen(lists, tiny):
    """The order that scikit-learn's shuffle gives sixteen samples after the seeds 0 to 19."""
    parts = [_numbers(VigorPairs(VigorData(root=lists, part=part), tiny)) for part in ("train", "validation", "test")]
    assert parts[:2] == [[2, 0, 10, 3, 9, 12, 5, 6, 8, 1, 15, 13], [11, 14, 7, 4]]
    assert parts[2] == list(range(16))


def test_cities_are_kept_after_the_division(lists, tiny):
    pairs = VigorPairs(VigorData(root=lists, cities=("Seattle", "Chicago")), tiny)
    assert _numbers(pairs) == [12, 5, 6, 15, 13]
    assert set(pairs.groups) == {"Seattle", "Chicago"}


def test_a_part_without_a_sample_of_the_cities_is_refused(lists, tiny):
    with pytest.raises(DatasetError, match="holds no sample of"):
        VigorPairs(VigorData(root=lists, area="cross", part="validation", cities=("NewYork",)), tiny)


def test_adaptation_divides_the_cross_area_test_list_by_the_published_file(lists, tiny):
    np.save(lists / "order.npy", np.array([7, 6, 5, 4, 3, 2, 1, 0]))
    found = {
        part: VigorPairs(
            VigorData(root=lists, area="cross", part=part, division="adaptation", order_file=lists / "order.npy"), tiny
        )
        for part in ("train", "validation", "test")
    }
    assert {part: _numbers(pairs) for part, pairs in found.items()} == {
        "train": [7, 6, 5, 4, 3],
        "validation": [2],
        "test": [1, 0],
    }
    assert set(found["train"].groups) == {"SanFrancisco", "Chicago"}


def test_original_labels_are_read_from_their_own_files(lists, tiny):
    corrected, original = (VigorPairs(VigorData(root=lists, labels=kind), tiny) for kind in ("corrected", "original"))
    assert "__corrected" in corrected.samples[0].panorama_name
    assert "__corrected" not in original.samples[0].panorama_name


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"division": "adaptation", "area": "cross"}, "order_file"),
        ({"division": "adaptation", "order_file": "o.npy"}, "area: cross"),
        ({"order_file": "o.npy"}, "drop the file"),
        ({"turns_file": "t.npy"}, "cross-area test list"),
        ({"turns_file": "t.npy", "area": "cross", "part": "test", "turn_deg": 45}, "drop one"),
        ({"area": "cross", "cities": ("Chicago",)}, "Chicago"),
        ({"cities": ("Boston",)}, "Boston"),
        ({"cities": ()}, "cities"),
        ({"turn_deg": 200}, "turn_deg"),
        ({"partner": "semi"}, "partner"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, named):
    with pytest.raises(ValidationError, match=named):
        VigorData(root="r", **options)


def test_a_network_of_fixed_size_reads_the_published_pixels(published):
    pairs = _pairs(published, area="cross", part="test")
    example, pair = pairs.example(0, _rng()), load_pair(pairs.samples[0], ANTIALIASED)
    assert (example.tile == pair.tile).all()
    assert (example.pixels == pair.panorama).all()
    assert example.metres_per_pixel == pytest.approx(0.118141 * 1.25)
    assert (example.valid == 255).all()


def test_metric_tiles_have_the_networks_scale_and_say_where_the_imagery_ends(published):
    """Seattle's tile is 64.5 m wide, the network reads 72.5 m: 28 pixels a side are missing."""
    pairs = _pairs(published, area="cross", part="train", cities=("Seattle",), tiles="metric", division="ccvpe")
    example = pairs.example(0, _rng())
    assert example.metres_per_pixel == pytest.approx(published.metres_per_pixel)
    seen = np.flatnonzero(example.valid[256])
    assert (len(seen), seen[0]) == (pytest.approx(640 * 0.100817 / 0.14156, abs=1.5), pytest.approx(28, abs=1))


def test_a_network_of_any_size_gets_the_asked_extent_at_its_own_scale(tiny):
    example = _pairs(tiny, tile_extent_m=56.0).example(0, _rng())
    assert (example.tile.shape, example.metres_per_pixel) == ((224, 224, 3), 0.25)


def test_the_truth_is_what_was_rendered_and_is_absent_without_labels(tiny):
    placed = {one.line.split()[0]: one for one in vigor_tree()[1]}
    pairs = _pairs(tiny, area="cross", part="test")
    for index, sample in enumerate(pairs.samples):
        one = placed[sample.panorama_name]
        assert pairs.example(index, _rng()).truth == pytest.approx((one.east_m, one.north_m, math.pi / 2))
    assert _pairs(tiny, labels=False).example(0, _rng()).truth is None


def test_without_labels_an_example_does_not_depend_on_them(tiny, tmp_path):
    root = copy_of(vigor_tree()[0], tmp_path)
    options = {"area": "cross", "part": "test", "partners": "semi", "turn_deg": 90, "heading_noise_deg": 10}
    before = VigorPairs(VigorData(root=root, **options), tiny)
    path = root / "splits__corrected/SanFrancisco/pano_label_balanced__corrected.txt"
    replace_file(path, re.sub(r"\.png \S+ \S+", ".png 0.0 0.0", path.read_text()))
    after = VigorPairs(VigorData(root=root, **options), tiny)
    assert after.samples[0].offsets[0].row == 0.0
    for seed in range(3):
        one, other = before.example(0, _rng(seed)), after.example(0, _rng(seed))
        assert (one.key, one.yaw_enu_rad) == (other.key, other.yaw_enu_rad)
        assert (one.tile == other.tile).all() and (one.pixels == other.pixels).all()


def test_turns_and_heading_noise_stay_within_their_ranges_and_repeat_with_their_generator(tiny):
    pairs = _pairs(tiny, turn_deg=45, heading_noise_deg=20)
    examples = [pairs.example(0, _rng(seed)) for seed in range(25)]
    turned = np.degrees([example.truth[2] - math.pi / 2 for example in examples])
    noise = np.degrees([example.yaw_enu_rad - example.truth[2] for example in examples])
    assert 30 < np.abs(turned).max() <= 45.4 and 12 < np.abs(noise).max() <= 20
    assert turned.min() < -20 < 20 < turned.max() and noise.min() < -5 < 5 < noise.max()
    again = pairs.example(0, _rng(3))
    assert (again.pixels == examples[3].pixels).all() and again.yaw_enu_rad == examples[3].yaw_enu_rad


def test_prescribed_turns_belong_to_the_samples_of_the_list_whatever_their_order(tiny, tmp_path):
    np.save(tmp_path / "turns.npy", np.array([0.0, 0.125, 0.25, 0.75]))
    np.save(tmp_path / "order.npy", np.array([3, 1, 0, 2]))
    pairs = _pairs(
        tiny, area="cross", part="train", division="adaptation",
        order_file=tmp_path / "order.npy", turns_file=tmp_path / "turns.npy",
    )  # fmt: skip
    yaws = [pairs.example(index, _rng()).truth[2] for index in range(2)]
    # Three quarters and one eighth of a turn to the left of north.
    assert yaws == pytest.approx([0.0, math.pi * 3 / 4], abs=1e-6)


def test_semi_positives_are_drawn_where_the_name_lies_on_them_and_keep_the_camera(tiny):
    pairs = _pairs(tiny, area="cross", part="test", partners="semi", tile_extent_m=75.0)
    frame, places = LocalFrame(pairs.samples[0].tile_center()), {}
    for seed in range(20):
        example = pairs.example(0, _rng(seed))
        group = int(example.key.rsplit("/", 1)[1])
        center = pairs.samples[0].tile_center(group)
        places[group] = np.add(frame.to_enu(center.latitude, center.longitude), example.truth[:2])
    assert sorted(places) == [0, 1, 2, 3]
    assert np.ptp(list(places.values()), axis=0).max() < 0.01


def test_a_tile_on_which_the_panorama_does_not_lie_is_no_partner(lists, tiny):
    """Here every tile is thousands of kilometres from the panorama; the positive is taken on trust."""
    from geodistill_training.data.vigor_pairs import _groups_on_tile

    assert _groups_on_tile(VigorPairs(VigorData(root=lists), tiny).samples[0]) == [0]


def test_places_are_metres_between_tiles_on_each_citys_plane(tiny):
    pairs = _pairs(tiny, area="cross", part="test")
    first, second = (sample.tile_center() for sample in pairs.samples[:2])
    apart = LocalFrame(first).to_enu(second.latitude, second.longitude)
    assert pairs.places_m[1] - pairs.places_m[0] == pytest.approx(apart, abs=1e-2)
    assert pairs.places_m.shape == (4, 2)
    assert np.abs(pairs.places_m).max() < 400


def test_published_parts_can_be_checked_for_leaks(tiny):
    train, test = _pairs(tiny, area="cross", division="ccvpe"), _pairs(tiny, area="cross", part="test")
    assert refuse_leak(train.ground_places, test.ground_places).near == 0
    with pytest.raises(DatasetError, match="2 ground images are in both"):
        refuse_leak(
            _pairs(tiny, part="test", cities=("Chicago", "NewYork")).ground_places,
            _pairs(tiny, part="test").ground_places,
        )
