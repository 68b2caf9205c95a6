# SPDX-License-Identifier: Apache-2.0
"""VIGOR as recordings: one a city, a panorama every few seconds, on the tiles that its labels name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from geodistill_core.bags.datasets.drive import DatasetDrive, DatasetFrame, DatasetPlan, TileSet
from geodistill_core.bags.frames import is_panorama_size
from geodistill_core.bags.images import check_encoded
from geodistill_core.bags.manifest import sha256_of
from geodistill_core.datasets.case import PriorNoise
from geodistill_core.datasets.files import read_picture_bytes, read_rows
from geodistill_core.datasets.vigor.cases import NAMING, sample_key, vigor_case, vigor_tiles
from geodistill_core.datasets.vigor.images import read_panorama
from geodistill_core.datasets.vigor.labels import VigorSample, parse_label
from geodistill_core.datasets.vigor.splits import Area, Labels, Part, label_file, split_cities
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.types import DEFAULT_CAMERA_HEIGHT_M, level_mount

START_NS = 1_600_000_000_000_000_000
SPACING_NS = 5_000_000_000
"""Panoramas lie anywhere in a city: no fix is so young that the next one would count as a jump."""


_REMEDY = "see what `geodistill data check vigor` says"


@dataclass(frozen=True, slots=True)
class VigorSplit:
    """Which samples: `cities` of the part (all by default), the first `limit` of each."""

    area: Area = "same"
    part: Part = "test"
    labels: Labels = "corrected"
    cities: Sequence[str] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.area not in ("same", "cross") or self.part not in ("train", "test"):
            raise ConfigError(f"VIGOR has no part {self.area}-area {self.part}; choose same or cross, train or test")
        if self.labels not in ("corrected", "original"):
            raise ConfigError(f"VIGOR's labels are corrected or original, not {self.labels!r}")
        held = split_cities(self.area, self.part)
        if unknown := sorted(set(self.cities) - set(held)):
            raise ConfigError(f"{', '.join(unknown)}: the {self.area}-area {self.part} part holds {', '.join(held)}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit {self.limit} leaves no sample; give 1 or more")

    @property
    def name(self) -> str:
        """How sidecars name it."""
        return f"{self.area}-area {self.part}, {self.labels} labels"


@dataclass(frozen=True, slots=True)
class _Sample:
    """One panorama with its stamp."""

    sample: VigorSample
    stamp_ns: int
    noise: PriorNoise

    @property
    def key(self) -> str:
        return sample_key(self.sample)

    def read(self, raw_images: bool) -> DatasetFrame:
        path = self.sample.panorama
        if raw_images:
            return DatasetFrame(read_panorama(self.sample), vigor_case(self.sample, self.noise))
        data = read_picture_bytes(path)
        width, height = check_encoded(data)
        if not is_panorama_size(width, height):
            raise DatasetError(f"{path} is {width} x {height} pixels; a panorama is twice as wide as high")
        return DatasetFrame(data.tobytes(), vigor_case(self.sample, self.noise))


def _parse(folder: Path, line: str, where: str) -> VigorSample:
    return parse_label(line, folder, where)


def plan_vigor(
    root: Path, split: VigorSplit, noise: PriorNoise, camera_height_m: float = DEFAULT_CAMERA_HEIGHT_M
) -> DatasetPlan:
    """Read the label files of a split; VIGOR states no camera height.

    Raises:
        DatasetError: a label file is missing or holds no sample.
        ConfigError: the camera's height is out of reason.
    """
    cities = [city for city in split_cities(split.area, split.part) if city in split.cities or not split.cities]
    drives, maps, lists = [], [], {}
    rejected: dict[str, str] = {}
    for city in cities:
        path = label_file(root, city, split.area, split.part, split.labels)
        listed, refused = read_rows(path, _REMEDY, partial(_parse, root / city))
        samples = listed[: split.limit]
        rejected |= {f"{city}/{where}": reason for where, reason in refused.items()}
        frames = [_Sample(sample, START_NS + k * SPACING_NS, noise) for k, sample in enumerate(samples)]
        clock = f"none recorded: panoramas {SPACING_NS / 1e9:g} s apart"
        mount, datum = level_mount(camera_height_m), samples[0].tile_center()
        drives.append(DatasetDrive(city, root, frames, mount, datum, city, clock))
        maps.append(TileSet(city, vigor_tiles(samples), NAMING))
        lists[f"{city}/{path.name}"] = sha256_of(path)
    settings = {"limit": split.limit, "camera_height_m": camera_height_m, "cities": cities}
    return DatasetPlan("vigor", split.name, noise, drives, maps, lists, settings, rejected)
