# SPDX-License-Identifier: Apache-2.0
"""A VIGOR tree on the disk against its label files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from geodistill_core.datasets.check.leak import GroundPlaces, find_overlap
from geodistill_core.datasets.check.pictures import Decode, broken_pictures, names_in
from geodistill_core.datasets.check.report import CheckReport, ListCount
from geodistill_core.datasets.files import read_lines
from geodistill_core.datasets.vigor.images import read_panorama
from geodistill_core.datasets.vigor.labels import VigorSample, parse_label
from geodistill_core.datasets.vigor.pairs import read_tile
from geodistill_core.datasets.vigor.splits import (
    LABEL_FOLDERS,
    SAME_AREA_CITIES,
    Area,
    Labels,
    Part,
    label_file,
    split_cities,
)
from geodistill_core.errors import DatasetError

LAYOUT = """\
ROOT/
  NewYork/ Seattle/ SanFrancisco/ Chicago/        one folder a city
    panorama/NAME,LATITUDE,LONGITUDE,.jpg         2048 x 1024, centre column = north
    satellite/satellite_LATITUDE_LONGITUDE.png    640 x 640, north-up, zoom 20
  splits__corrected/CITY/                         SliceMatch's corrected labels
    same_area_balanced_train__corrected.txt
    same_area_balanced_test__corrected.txt
    pano_label_balanced__corrected.txt            cross-area, training and test
  splits/CITY/                                    VIGOR's own labels, only for labels: original
    same_area_balanced_train.txt  same_area_balanced_test.txt  pano_label_balanced.txt"""

_AREAS: tuple[Area, ...] = ("same", "cross")
_PARTS: tuple[Part, ...] = ("train", "test")
_GROUPS = range(4)


@dataclass(frozen=True, slots=True)
class _Folders:
    panoramas: frozenset[str]
    tiles: frozenset[str]


def check_vigor(
    root: Path, decode: Decode = "sample", step: Callable[[], None] = lambda: None
) -> tuple[CheckReport, list[VigorSample]]:
    """What a VIGOR tree holds, and the samples that have every file (each once, in the lists' order).

    Raises:
        DatasetError: `root` is no folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; give the folder that holds:\n{LAYOUT}")
    report = CheckReport("vigor", root, LAYOUT)
    folders = _folders(report, root)
    complete: dict[str, VigorSample] = {}
    for labels in _label_kinds(report, root):
        lists = {(a, p): _read_list(report, root, a, p, labels) for a in _AREAS for p in _PARTS}
        for (area, part), samples in lists.items():
            whole = [sample for sample in samples if _is_complete(sample, folders[sample.city])]
            name = f"{labels}, {area}-area, {part}"
            cities = Counter(sample.city for sample in samples)
            where = label_file(root, "CITY", area, part, labels)
            report.lists.append(ListCount(name, where, len(samples), len(whole), dict(cities)))
            report.add_repeated(name, [f"{sample.city}/{sample.panorama_name}" for sample in samples])
            complete |= {f"{sample.city}/{sample.panorama_name}": sample for sample in whole}
        samples = [sample for held in lists.values() for sample in held]
        _note_missing(report, samples, folders, labels)
        for area in _AREAS:
            overlap = find_overlap(_places(lists[area, "train"]), _places(lists[area, "test"]))
            report.add_overlap(f"the {area}-area split ({labels} labels)", overlap, near_is_leak=area == "cross")
    _decode(report, list(complete.values()), decode, step)
    return report, list(complete.values())


def _folders(report: CheckReport, root: Path) -> dict[str, _Folders]:
    """Names of every city's pictures."""
    found, empty = {}, []
    for city in SAME_AREA_CITIES:
        found[city] = _Folders(names_in(root / city / "panorama"), names_in(root / city / "satellite"))
        for kind, names in (("panorama", found[city].panoramas), ("satellite", found[city].tiles)):
            report.pictures[f"{city}/{kind}"] = len(names)
            empty += [] if names else [root / city / kind]
    report.add("missing", "folders of pictures that are not there or empty", empty)
    return found


def _label_kinds(report: CheckReport, root: Path) -> list[Labels]:
    """The kinds of labels that are there; the corrected ones are expected."""
    present = {kind: (root / folder).is_dir() for kind, folder in LABEL_FOLDERS.items()}
    if not present["corrected"]:
        report.add("missing", "no corrected labels (SliceMatch publishes them)", [root / LABEL_FOLDERS["corrected"]])
    if not present["original"]:
        report.add("note", "no original labels; only `labels: original` needs them", [root / LABEL_FOLDERS["original"]])
    return [kind for kind, there in present.items() if there]


def _read_list(report: CheckReport, root: Path, area: Area, part: Part, labels: Labels) -> list[VigorSample]:
    paths = {city: label_file(root, city, area, part, labels) for city in split_cities(area, part)}
    report.add("missing", f"{labels} label files of the {area}-area {part} part", _absent(paths.values()))
    samples, malformed = [], []
    for city, path in paths.items():
        if not path.is_file():
            continue
        try:
            lines = read_lines(path, "copy it again")
        except DatasetError as error:
            malformed.append(str(error))
            continue
        for number, line in lines:
            try:
                samples.append(parse_label(line, root / city, f"{path}, line {number}"))
            except DatasetError as error:
                malformed.append(str(error))
    report.add("broken", f"label lines that cannot be used ({labels}, {area}-area, {part})", malformed)
    return samples


def _absent(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if not path.is_file()]


def _is_complete(sample: VigorSample, held: _Folders) -> bool:
    return sample.panorama_name in held.panoramas and all(name in held.tiles for name in sample.tile_names)


def _note_missing(
    report: CheckReport, samples: list[VigorSample], folders: dict[str, _Folders], labels: Labels
) -> None:
    """Files that label lines name and that are not there, in cities that are not missing altogether."""
    held = {city: found for city, found in folders.items() if found.panoramas and found.tiles}
    there = [sample for sample in samples if sample.city in held]
    panoramas = {s.panorama for s in there if s.panorama_name not in held[s.city].panoramas}
    tiles = {s.tile(g) for s in there for g in _GROUPS if s.tile_names[g] not in held[s.city].tiles}
    for kind, paths in (("panoramas", panoramas), ("tiles", tiles)):
        report.add("missing", f"{kind} that the {labels} labels name", sorted(paths))


def _places(samples: list[VigorSample]) -> GroundPlaces:
    """The panoramas of samples, and where their names say that they were taken."""
    points = [sample.panorama_point for sample in samples]
    return GroundPlaces(
        tuple(f"{sample.city}/{sample.panorama_name}" for sample in samples),
        np.array([(point.latitude, point.longitude) for point in points]).reshape(-1, 2),
    )


def _decode(report: CheckReport, samples: list[VigorSample], decode: Decode, step: Callable[[], None]) -> None:
    tiles = {sample.tile(group): (sample, group) for sample in samples for group in _GROUPS}
    readers: list[Callable[[], object]] = [partial(read_panorama, sample) for sample in samples]
    readers += [partial(read_tile, *held) for held in tiles.values()]
    report.decoded, broken = broken_pictures(readers, decode, step)
    report.add("broken", f"pictures that cannot be used, of {report.decoded} that were decoded", broken)
