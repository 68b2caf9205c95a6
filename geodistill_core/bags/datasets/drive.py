# SPDX-License-Identifier: Apache-2.0
"""A part of a data set as drives: what there is to convert, before any of it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from geodistill_core.bags.compose import Triple
from geodistill_core.bags.storage.containers import CHUNK_BYTES, Storage, check_chunk_bytes
from geodistill_core.camera import check_mount
from geodistill_core.datasets.case import Case, PriorNoise, TileFile
from geodistill_core.errors import ConfigError
from geodistill_core.localization.readings import MotionReading
from geodistill_core.maps.placed_images import TileNaming
from geodistill_core.types import Array, CameraModel, GeoPoint

MAX_JOBS = 64


@dataclass(frozen=True, slots=True)
class DatasetFrame:
    """A sample after its files were read: the picture (a file's bytes, or RGB pixels), what is asked about it, and
    what else the vehicle measured (`rates_radps`, `accelerations_mps2` along x forward, y left, z up)."""

    picture: bytes | Array
    case: Case
    camera: CameraModel | None = None
    motion: MotionReading | None = None
    rates_radps: Triple | None = None
    accelerations_mps2: Triple | None = None


class DatasetSample(Protocol):
    """One frame to be; `key` is how results name it."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def stamp_ns(self) -> int: ...  # noqa: D102

    def read(self, raw_images: bool) -> DatasetFrame:
        """Read its files; raises DatasetError where one is missing or broken."""
        ...


@dataclass(frozen=True, slots=True)
class TileSet:
    """Overhead images that become the map `name`."""

    name: str
    tiles: Sequence[TileFile]
    naming: TileNaming


@dataclass(frozen=True, slots=True)
class DatasetDrive:
    """Samples that become one recording in the order of their stamps, on the map `map_name`.

    `root` is the data set's folder, `datum` the origin of the true poses, `clock` says where the stamps come from.
    """

    name: str
    root: Path
    samples: Sequence[DatasetSample]
    T_base_camera: Array
    datum: GeoPoint | None
    map_name: str
    clock: str

    def __post_init__(self) -> None:
        check_mount(self.T_base_camera)

    def without_root(self, reason: object) -> str:
        """A reason as sidecars give it: with the paths within the data set, the same on every machine."""
        return str(reason).replace(f"{self.root}{os.sep}", "")


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """Drives and maps that a part of a data set becomes, and how sidecars name it.

    `lists` maps the published lists to their hashes, `settings` holds what else decides about the bytes, `rejected`
    maps lines that are no sample (`FILE:LINE`) to the reason.
    """

    dataset: str
    split: str
    noise: PriorNoise
    drives: Sequence[DatasetDrive]
    maps: Sequence[TileSet]
    lists: Mapping[str, str]
    settings: Mapping[str, Any]
    rejected: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BagOptions:
    """How recordings are written; `jobs` files at a time, which changes nothing in them."""

    storage: Storage = "mcap"
    chunk_bytes: int = CHUNK_BYTES
    raw_images: bool = False
    jobs: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))

    def __post_init__(self) -> None:
        if self.storage not in ("mcap", "sqlite3"):
            raise ConfigError(f"storage {self.storage!r} is neither mcap nor sqlite3")
        check_chunk_bytes(self.chunk_bytes)
        if not 1 <= self.jobs <= MAX_JOBS:
            raise ConfigError(f"jobs {self.jobs} is outside 1..{MAX_JOBS}")
