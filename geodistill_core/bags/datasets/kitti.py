# SPDX-License-Identifier: Apache-2.0
"""KITTI as recordings: one a drive, the frames that a cross-view list names, with what the inertial unit said."""

from __future__ import annotations

import calendar
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from geodistill_core.bags.compose import Triple
from geodistill_core.bags.datasets.drive import DatasetDrive, DatasetFrame, DatasetPlan, TileSet
from geodistill_core.bags.images import check_encoded
from geodistill_core.bags.manifest import sha256_of
from geodistill_core.datasets.case import PriorNoise
from geodistill_core.datasets.files import read_lines, read_picture_bytes, read_rgb, read_rows
from geodistill_core.datasets.kitti.cases import kitti_case, kitti_tiles
from geodistill_core.datasets.kitti.frames import PARTS, KittiFrame, Part, list_file, parse_frame
from geodistill_core.datasets.kitti.images import CAMERA_HEIGHT_M, camera_truth
from geodistill_core.datasets.kitti.records import read_camera_matrix, read_oxts_record
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.localization.readings import MotionReading
from geodistill_core.maps.kitti_folder import KITTI_NAMING
from geodistill_core.types import Array, CameraModel, GeoPoint, forward_optical_mount

_REMEDY = "see what `geodistill data check kitti` says"
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{9})")
_NOMINAL_NS = 100_000_000
_AGAIN_NS = 3_600_000_000_000
# Fields of an inertial record: forward speed, accelerations and rates along x forward, y left, z up.
_FORWARD, _ACCELERATIONS, _RATES = 8, slice(11, 14), slice(17, 20)


@dataclass(frozen=True, slots=True)
class KittiSplit:
    """Which frames: those of a published list, of `drives` alone where any are named, the first `limit` of each."""

    part: Part = "test1"
    drives: Sequence[str] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ConfigError(f"KITTI has no part {self.part!r}; choose {', '.join(PARTS)}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit {self.limit} leaves no frame; give 1 or more")


@dataclass(frozen=True, slots=True)
class _Sample:
    """One frame with its stamp."""

    frame: KittiFrame
    stamp_ns: int
    noise: PriorNoise

    @property
    def key(self) -> str:
        return self.frame.name

    def read(self, raw_images: bool) -> DatasetFrame:
        frame = self.frame
        case, record = kitti_case(frame, self.noise), read_oxts_record(frame.oxts)
        data = read_picture_bytes(frame.ground)
        width, height = check_encoded(data)
        picture = read_rgb(frame.ground) if raw_images else data.tobytes()
        camera = CameraModel(width, height, read_camera_matrix(frame.calibration))
        if record.size < _RATES.stop:
            return DatasetFrame(picture, case, camera)
        rates, accelerations = (_triple(record[fields]) for fields in (_RATES, _ACCELERATIONS))
        motion = MotionReading(self.stamp_ns, float(record[_FORWARD]), rates[2])
        return DatasetFrame(picture, case, camera, motion, rates, accelerations)


def plan_kitti(
    root: Path,
    split: KittiSplit,
    noise: PriorNoise,
    lists: Path | None = None,
    camera_height_m: float = CAMERA_HEIGHT_M,
) -> DatasetPlan:
    """Read a published list (in `lists`, or in `root`), and the times of its frames.

    A frame that is listed twice, with two displacements, is driven twice: the second time an hour later.

    Raises:
        DatasetError: the list is missing or holds no frame, or no frame of a drive has an inertial record.
        ConfigError: a drive is not in the list, or the camera's height is out of reason.
    """
    path = list_file(lists or root, split.part)
    listed, rejected = read_rows(path, _REMEDY, partial(_parse, root))
    by_drive: dict[str, list[KittiFrame]] = defaultdict(list)
    for frame in listed:
        by_drive[frame.drive].append(frame)
    if unknown := sorted(set(split.drives) - set(by_drive)):
        raise ConfigError(f"{', '.join(unknown)}: {path.name} holds {', '.join(sorted(by_drive))}")
    names = [name for name in sorted(by_drive) if name in split.drives or not split.drives]
    mount, drives = forward_optical_mount(camera_height_m), []
    for name in names:
        frames = by_drive[name][: split.limit]
        samples, clock = _timed(frames, noise)
        drives.append(DatasetDrive(name, root, samples, mount, _datum(frames), split.part, clock))
    converted = {frame.name for name in names for frame in by_drive[name][: split.limit]}
    frames = [frame for frame in listed if frame.name in converted]
    tiles = TileSet(split.part, kitti_tiles(frames), KITTI_NAMING)
    settings = {"limit": split.limit, "camera_height_m": camera_height_m, "drives": names}
    hashes = {path.name: sha256_of(path)}
    return DatasetPlan("kitti", split.part, noise, drives, [tiles], hashes, settings, rejected)


def _parse(root: Path, line: str, where: str) -> KittiFrame:
    return parse_frame(line, root, where)


def _datum(frames: Sequence[KittiFrame]) -> GeoPoint | None:
    """Where the first frame with a record was."""
    for frame in frames:
        try:
            return camera_truth(frame).point
        except DatasetError:
            continue
    return None


def _timed(frames: Sequence[KittiFrame], noise: PriorNoise) -> tuple[list[_Sample], str]:
    """The frames in the order of their times, and where those come from."""
    numbers = [int(Path(frame.name).stem) for frame in frames]
    try:
        stamps = _recorded(frames[0].ground.parent.parent / "timestamps.txt", max(numbers))
        clock = "recorded"
    except DatasetError as error:
        midnight = calendar.timegm((*(int(part) for part in frames[0].drive.split("_")[:3]), 0, 0, 0))
        stamps = [midnight * 1_000_000_000 + number * _NOMINAL_NS for number in range(max(numbers) + 1)]
        clock = f"nominal, 10 Hz: {error}"
    listed: Counter[str] = Counter()
    samples = []
    for frame, number in zip(frames, numbers, strict=True):
        samples.append(_Sample(frame, stamps[number] + listed[frame.name] * _AGAIN_NS, noise))
        listed[frame.name] += 1
    return sorted(samples, key=lambda sample: sample.stamp_ns), clock


def _recorded(path: Path, last: int) -> list[int]:
    """The time of every frame of a drive up to number `last`, in nanoseconds; KITTI states no zone, taken as UTC.

    Raises:
        DatasetError: a time is missing, malformed, or not after the one before.
    """
    stamps: list[int] = []
    for number, line in read_lines(path, _REMEDY):
        match = _STAMP.fullmatch(line.strip())
        if match is None:
            raise DatasetError(f"{path}, line {number} is no time YYYY-MM-DD hh:mm:ss.nnnnnnnnn; {_REMEDY}")
        *calendar_parts, nanoseconds = (int(part) for part in match.groups())
        stamps.append(calendar.timegm(tuple(calendar_parts)) * 1_000_000_000 + nanoseconds)
    if len(stamps) <= last or any(after <= before for before, after in pairwise(stamps)):
        raise DatasetError(f"{path} does not time frame {last}, or runs backwards; {_REMEDY}")
    return stamps


def _triple(values: Array) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
