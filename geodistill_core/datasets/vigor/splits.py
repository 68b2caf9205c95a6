# SPDX-License-Identifier: Apache-2.0
"""Which VIGOR samples are learned from and which are judged: areas, and every recipe's own division of a list."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from geodistill_core.datasets.files import read_array
from geodistill_core.datasets.vigor.labels import VigorSample, read_labels
from geodistill_core.errors import DatasetError
from geodistill_core.types import Array

Area = Literal["same", "cross"]
Part = Literal["train", "test"]

SAME_AREA_CITIES = ("NewYork", "Seattle", "SanFrancisco", "Chicago")
CROSS_AREA_CITIES: dict[Part, tuple[str, ...]] = {"train": SAME_AREA_CITIES[:2], "test": SAME_AREA_CITIES[2:]}

Labels = Literal["corrected", "original"]
LABEL_FOLDERS: dict[Labels, str] = {"corrected": "splits__corrected", "original": "splits"}

_WEAK_SHUFFLES = 20
_ADAPTATION_REMEDY = "use the file that the adaptation paper publishes, with the labels of SanFrancisco and Chicago"


def split_cities(area: Area, part: Part) -> tuple[str, ...]:
    """The cities of one part of a split in the published order.

    In the same-area split all four cities are in both parts; across areas two cities are learned from and the other
    two are judged.
    """
    return SAME_AREA_CITIES if area == "same" else CROSS_AREA_CITIES[part]


def label_file(root: Path, city: str, area: Area, part: Part, labels: Labels = "corrected") -> Path:
    """Where the labels of a city lie: SliceMatch's correction in `splits__corrected`, VIGOR's own in `splits`."""
    name = f"same_area_balanced_{part}" if area == "same" else "pano_label_balanced"
    return root / LABEL_FOLDERS[labels] / city / f"{name}{'__corrected' if labels == 'corrected' else ''}.txt"


def read_split(root: Path, area: Area, part: Part, labels: Labels = "corrected") -> list[VigorSample]:
    """The samples of one part of a split, city after city; `root` holds a folder of images per city and the labels.

    Raises:
        DatasetError: a label file is missing or malformed.
    """
    files = {city: label_file(root, city, area, part, labels) for city in split_cities(area, part)}
    return [sample for city, path in files.items() for sample in read_labels(path, root / city)]


def weak_split(count: int) -> tuple[Array, Array]:
    """Indices (training, validation) of a training list by the G2SWeakly and GeoDistill recipes.

    The list is shuffled twenty times in sequence with the seeds 0 to 19; its last fifth validates. Published code:
    scikit-learn's `shuffle`, which permutes by numpy's legacy generator.
    """
    order = np.arange(count)
    for seed in range(_WEAK_SHUFFLES):
        order = order[np.random.RandomState(seed).permutation(count)]
    return _first_four_fifths(order)


def ccvpe_split(count: int) -> tuple[Array, Array]:
    """Indices (training, validation) of a training list by CCVPE's recipe: one shuffle with seed 0, then 80 to 20."""
    order = np.arange(count)
    np.random.RandomState(0).shuffle(order)
    return _first_four_fifths(order)


def read_adaptation_split(path: Path, count: int) -> tuple[Array, Array, Array]:
    """Indices (unlabelled target area, validation, test) into the cross-area test list, in the published order.

    `path` is the adaptation paper's `shuffled_crossarea_index_list.npy`, a permutation of the `count` samples of
    SanFrancisco and Chicago, divided 70 : 10 : 20.

    Raises:
        DatasetError: the file is missing or no permutation of so many samples.
    """
    order = read_array(path, _ADAPTATION_REMEDY)
    if order.shape != (count,) or order.dtype.kind not in "iu" or (np.sort(order) != np.arange(count)).any():
        raise DatasetError(
            f"{path} is no permutation of {count} samples, but {_described(order)}; {_ADAPTATION_REMEDY}"
        )
    learned, validated = int(0.7 * count), int(0.8 * count)
    return order[:learned], order[learned:validated], order[validated:]


def read_predefined_turns(path: Path, count: int) -> Array:
    """How far each sample's panorama is turned where heading is unknown, as a share of a full turn in [0, 1).

    `path` is the adaptation paper's `predefined_random_rot.npy`; element i belongs to sample i of the cross-area list.

    Raises:
        DatasetError: the file is missing or does not hold `count` shares.
    """
    turns = read_array(path, _ADAPTATION_REMEDY)
    if turns.shape != (count,) or turns.dtype.kind != "f" or not ((turns >= 0.0) & (turns < 1.0)).all():
        raise DatasetError(
            f"{path} does not hold {count} turns in [0, 1), but {_described(turns)}; {_ADAPTATION_REMEDY}"
        )
    return turns


def _first_four_fifths(order: Array) -> tuple[Array, Array]:
    learned = int(0.8 * len(order))
    return order[:learned], order[learned:]


def _described(array: Array) -> str:
    return f"an array of {array.dtype} shaped {array.shape}"
