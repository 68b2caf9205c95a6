# SPDX-License-Identifier: Apache-2.0
"""Which VIGOR samples each recipe learns from: areas, seeds and shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geodistill_core.datasets.vigor import splits
from geodistill_core.errors import DatasetError

ADAPTING = Path(__file__).parents[2] / "../shared/data/adapting"
needs_adapting = pytest.mark.skipif(not ADAPTING.is_dir(), reason="real data absent: adapting")
TARGET_AREA = 53_694  # SanFrancisco and Chicago together
SAN_FRANCISCO = 28_215


@pytest.fixture
def tree(tmp_path):
    """Label files that say by the panorama's name which city and which list they are."""
    rest = " ".join(["satellite_1_2.png 0.0 0.0"] * 4)
    for city in splits.SAME_AREA_CITIES:
        folder = tmp_path / "splits__corrected" / city
        folder.mkdir(parents=True)
        for name in ("same_area_balanced_train", "same_area_balanced_test", "pano_label_balanced"):
            (folder / f"{name}__corrected.txt").write_text(f"{city}-{name},1.0,2.0,.jpg {rest}\n")
    return tmp_path


def _read(tree, area, part):
    return [sample.panorama_name.partition(",")[0] for sample in splits.read_split(tree, area, part)]


@pytest.mark.parametrize("part", ["train", "test"])
def test_same_area_takes_every_city_in_both_parts(tree, part):
    cities = ("NewYork", "Seattle", "SanFrancisco", "Chicago")
    assert _read(tree, "same", part) == [f"{city}-same_area_balanced_{part}" for city in cities]


def test_cross_area_judges_on_cities_it_never_learned_from(tree):
    assert _read(tree, "cross", "train") == ["NewYork-pano_label_balanced", "Seattle-pano_label_balanced"]
    assert _read(tree, "cross", "test") == ["SanFrancisco-pano_label_balanced", "Chicago-pano_label_balanced"]


def test_a_missing_list_is_named(tree):
    (tree / "splits__corrected/Seattle/pano_label_balanced__corrected.txt").unlink()
    with pytest.raises(DatasetError, match=r"Seattle/pano_label_balanced__corrected.txt cannot be read"):
        splits.read_split(tree, "cross", "train")


def test_weak_split_of_sixteen_is_the_published_one():
    """The order that scikit-learn's shuffle gives sixteen samples after the seeds 0 to 19."""
    train, validation = splits.weak_split(16)
    assert train.tolist() == [2, 0, 10, 3, 9, 12, 5, 6, 8, 1, 15, 13]
    assert validation.tolist() == [11, 14, 7, 4]


def test_ccvpe_split_is_what_the_global_legacy_generator_gives():
    kept = np.random.get_state()
    try:
        np.random.seed(0)
        order = list(range(103))
        np.random.shuffle(order)
    finally:
        np.random.set_state(kept)
    train, validation = splits.ccvpe_split(103)
    assert [*train, *validation] == order
    assert (len(train), len(validation)) == (82, 21)


@pytest.mark.parametrize("split", [splits.weak_split, splits.ccvpe_split])
def test_splits_leave_no_sample_out_and_the_global_generator_alone(split):
    before = np.random.get_state()[1].copy()
    train, validation = split(1000)
    assert sorted([*train, *validation]) == list(range(1000))
    assert (np.random.get_state()[1] == before).all()


def test_adaptation_divides_seventy_ten_twenty(tmp_path):
    np.save(tmp_path / "order.npy", np.arange(20)[::-1])
    parts = splits.read_adaptation_split(tmp_path / "order.npy", 20)
    assert [part.tolist() for part in parts] == [list(range(19, 5, -1)), [5, 4], [3, 2, 1, 0]]


@pytest.mark.parametrize(
    "order",
    [np.arange(9), np.zeros(10, int), np.arange(10.0), np.arange(1, 11), np.array([None] * 10, dtype=object)],
    ids=["short", "repeated", "floats", "shifted", "objects"],
)
def test_an_order_that_is_no_permutation_is_refused(tmp_path, order):
    np.save(tmp_path / "order.npy", order, allow_pickle=True)
    with pytest.raises(DatasetError, match=r"order.npy .*adaptation paper publishes"):
        splits.read_adaptation_split(tmp_path / "order.npy", 10)


@pytest.mark.parametrize(
    "turns", [np.full(3, 0.5), np.array([0.0, 1.0]), np.array([0.1, np.nan]), np.array([0, 0])],
    ids=["long", "full turn", "nan", "whole"],
)  # fmt: skip
def test_turns_outside_a_full_turn_are_refused(tmp_path, turns):
    np.save(tmp_path / "turns.npy", turns)
    with pytest.raises(DatasetError, match=r"turns.npy .*does not hold 2 turns"):
        splits.read_predefined_turns(tmp_path / "turns.npy", 2)


def test_an_archive_and_a_missing_file_are_refused(tmp_path):
    np.savez(tmp_path / "many.npz", np.arange(3))
    for name in ("many.npz", "absent.npy"):
        with pytest.raises(DatasetError, match=name):
            splits.read_adaptation_split(tmp_path / name, 3)


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_an_array_file_runs_no_code(tmp_path):
    np.save(tmp_path / "order.npy", np.array([_Bomb(tmp_path / "ran")], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"order\.npy is no readable"):
        splits.read_adaptation_split(tmp_path / "order.npy", 1)
    assert not (tmp_path / "ran").exists()


@needs_adapting
def test_the_published_order_gives_the_published_counts():
    parts = splits.read_adaptation_split(ADAPTING / "shuffled_crossarea_index_list.npy", TARGET_AREA)
    assert [len(part) for part in parts] == [37_585, 5_370, 10_739]
    assert int((parts[0] < SAN_FRANCISCO).sum()) == 19_726


@needs_adapting
def test_the_published_turns_are_uniform_over_the_circle():
    turns = splits.read_predefined_turns(ADAPTING / "predefined_random_rot.npy", TARGET_AREA)
    assert np.abs(np.histogram(turns, 10)[0] / TARGET_AREA - 0.1).max() < 0.005
