# SPDX-License-Identifier: Apache-2.0
"""A KITTI cross-view tree on the disk against its lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from geodistill_core.datasets.check.leak import GroundPlaces, Overlap, find_overlap
from geodistill_core.datasets.check.pictures import Decode, broken_pictures, names_in
from geodistill_core.datasets.check.report import CheckReport, ListCount
from geodistill_core.datasets.files import read_lines, read_rgb
from geodistill_core.datasets.kitti.frames import PARTS, KittiFrame, Part, list_file, parse_frame
from geodistill_core.datasets.kitti.images import read_satellite
from geodistill_core.datasets.kitti.records import read_camera_matrix, read_oxts
from geodistill_core.errors import DatasetError

LAYOUT = """\
ROOT/
  raw_data/DAY/                                        KITTI's raw data, synchronised and rectified
    calib_cam_to_cam.txt
    DAY_drive_NUMBER_sync/image_02/data/FRAME.png      left colour camera
    DAY_drive_NUMBER_sync/oxts/data/FRAME.txt          inertial unit
  satmap/DAY/DAY_drive_NUMBER_sync/FRAME.png           1280 x 1280, north-up, 0.1958 m per pixel
  train_files.txt  test1_files.txt  test2_files.txt    the published lists"""

# test1 was driven where the training frames were; test2 must not be near them.
_TESTS: dict[Part, bool] = {"test1": False, "test2": True}


def check_kitti(
    root: Path, decode: Decode = "sample", step: Callable[[], None] = lambda: None, lists: Path | None = None
) -> tuple[CheckReport, list[KittiFrame]]:
    """What a KITTI tree holds, and the frames that have every file; `lists` is the folder of the published lists.

    Raises:
        DatasetError: `root` is no folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; give the folder that holds:\n{LAYOUT}")
    report = CheckReport("kitti", root, LAYOUT)
    held = _Held()
    found: dict[Part, list[KittiFrame]] = {part: _read_list(report, root, lists or root, part) for part in PARTS}
    complete: dict[str, KittiFrame] = {}
    for part, frames in found.items():
        whole = [frame for frame in frames if all(held(path) for path in _files(frame).values())]
        drives = Counter(frame.drive for frame in frames)
        report.lists.append(ListCount(part, list_file(lists or root, part), len(frames), len(whole), dict(drives)))
        report.add_repeated(part, [frame.name for frame in frames])
        complete |= {frame.name: frame for frame in whole}
    everything = [frame for frames in found.values() for frame in frames]
    _note_missing(report, everything, held)
    degrees = _note_records(report, everything, held)
    for part, near_is_leak in _TESTS.items():
        overlap = _overlap(found["train"], found[part], degrees)
        report.add_overlap(f"the training list and {part}", overlap, near_is_leak)
    _decode(report, list(complete.values()), decode, step)
    return report, list(complete.values())


class _Held:
    """Whether files exist, one look into each folder."""

    def __init__(self) -> None:
        self._names: dict[Path, frozenset[str]] = {}

    def __call__(self, path: Path) -> bool:
        if path.parent not in self._names:
            self._names[path.parent] = names_in(path.parent)
        return path.name in self._names[path.parent]


def _files(frame: KittiFrame) -> dict[str, Path]:
    return {
        "satellite images": frame.satellite,
        "images": frame.ground,
        "records of the inertial unit": frame.oxts,
        "calibrations": frame.calibration,
    }


def _read_list(report: CheckReport, root: Path, folder: Path, part: Part) -> list[KittiFrame]:
    path, frames, malformed = list_file(folder, part), [], []
    if not path.is_file():
        report.add("missing", f"no list of the {part} part", [path])
        return []
    try:
        for number, line in read_lines(path, "copy it again"):
            try:
                frames.append(parse_frame(line, root, f"{path}, line {number}"))
            except DatasetError as error:
                malformed.append(str(error))
    except DatasetError as error:
        malformed.append(str(error))
    if part != "train":
        malformed += [f"{path}: {f.name} has no displacement" for f in frames if f.displacement is None]
    report.add("broken", f"lines of the {part} list that cannot be used", malformed)
    return frames


def _note_missing(report: CheckReport, frames: list[KittiFrame], held: _Held) -> None:
    paths = [_files(frame) for frame in frames]
    for kind in paths[0] if paths else ():
        wanted = {files[kind] for files in paths}
        missing = sorted(path for path in wanted if not held(path))
        report.pictures[kind] = len(wanted) - len(missing)
        report.add("missing", f"{kind} that the lists name", missing)


def _note_records(report: CheckReport, frames: list[KittiFrame], held: _Held) -> dict[str, tuple[float, float]]:
    """Latitude and longitude of every frame whose record can be read."""
    found, broken = {}, []
    for frame in {frame.name: frame for frame in frames}.values():
        if not held(frame.oxts):
            continue
        try:
            truth = read_oxts(frame.oxts)
            found[frame.name] = truth.latitude, truth.longitude
        except DatasetError as error:
            broken.append(str(error))
    for path in sorted({frame.calibration for frame in frames if held(frame.calibration)}):
        try:
            read_camera_matrix(path)
        except DatasetError as error:
            broken.append(str(error))
    report.add("broken", "records and calibrations that cannot be used", broken)
    return found


def _overlap(train: list[KittiFrame], test: list[KittiFrame], degrees: dict[str, tuple[float, float]]) -> Overlap:
    """Names are compared whether or not their records can be read, places where they can."""
    shared = {frame.name for frame in train} & {frame.name for frame in test}
    overlap = find_overlap(_places(train, degrees), _places(test, degrees))
    return replace(overlap, shared=tuple(sorted(shared)))


def _places(frames: list[KittiFrame], degrees: dict[str, tuple[float, float]]) -> GroundPlaces:
    names = tuple(frame.name for frame in frames if frame.name in degrees)
    return GroundPlaces(names, np.array([degrees[name] for name in names]).reshape(-1, 2))


def _decode(report: CheckReport, frames: list[KittiFrame], decode: Decode, step: Callable[[], None]) -> None:
    readers: list[Callable[[], object]] = [partial(read_rgb, frame.ground) for frame in frames]
    readers += [partial(read_satellite, frame) for frame in frames]
    report.decoded, broken = broken_pictures(readers, decode, step)
    report.add("broken", f"pictures that cannot be used, of {report.decoded} that were decoded", broken)
