# SPDX-License-Identifier: Apache-2.0
"""The JSON sidecar of a drive: what a bag cannot say, first of all where the camera sits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from geodistill_core.errors import BagError
from geodistill_core.types import Array

SCHEMA_VERSION = 1


class SynthOrigin(BaseModel):
    """How a synthetic drive was made; the same values make it again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    world_version: int
    style: str
    seed: int
    route: int
    level: str
    size_m: float
    frames: int
    frame_rate_hz: float
    rig: str


class DatasetOrigin(BaseModel):
    """Which part of a data set a drive was made of, and how; the same values make it again.

    `gnss` is "split" for the data set's own displacement or "gaussian", `clock` says where the stamps come from.
    `skipped` maps the samples that could not be used to the reason, `lists` the published lists to their hashes;
    `options` identifies the conversion.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    split: str
    area: str
    seed: int
    gnss: str
    gnss_sigma_m: float | None = None
    heading_range_deg: float
    clock: str
    samples: int
    frames: int
    tiles: int
    skipped: dict[str, str] = {}
    lists: dict[str, str] = {}
    options: str = ""


class DriveManifest(BaseModel):
    """A drive's sidecar; `T_base_camera` is 4x4 row by row, `sha256` maps the names of files and folders beside it to
    their hashes (see `sha256_of`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    T_base_camera: tuple[tuple[float, float, float, float], ...]
    synth: SynthOrigin | None = None
    dataset: DatasetOrigin | None = None
    topics: dict[str, str] = {}
    map: str | None = None
    sha256: dict[str, str] = {}

    @field_validator("schema_version")
    @classmethod
    def _known(cls, value: int) -> int:
        if value != SCHEMA_VERSION:
            raise ValueError(f"schema version {value} is not {SCHEMA_VERSION}")
        return value

    @field_validator("T_base_camera")
    @classmethod
    def _four_rows(cls, value: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if len(value) != 4 or not np.isfinite(value).all():
            raise ValueError("T_base_camera must hold four rows of four finite numbers")
        return value

    @property
    def mount(self) -> Array:
        """`T_base_camera` as an array."""
        return np.array(self.T_base_camera, dtype=np.float64)


def sidecar_path(bag: Path) -> Path:
    """`drive.json` beside `drive.mcap`, and beside a rosbag2 folder `drive/`."""
    return bag.with_suffix(".json")


def load_manifest(bag: Path) -> DriveManifest | None:
    """The sidecar of a bag, None where there is none; raises BagError for a malformed one."""
    path = sidecar_path(bag)
    if not path.exists():
        return None
    try:
        return DriveManifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, OSError, UnicodeDecodeError) as error:
        raise BagError(f"{path} is not a drive's sidecar: {error}; correct or remove it") from error


def save_manifest(bag: Path, manifest: DriveManifest) -> Path:
    """Write the sidecar of a bag in one step."""
    path = sidecar_path(bag)
    partial = path.with_name(f".{path.name}.partial")
    text = json.dumps(manifest.model_dump(exclude_none=True), indent=2)
    partial.write_text(text + "\n", encoding="utf-8")
    return partial.replace(path)


def sha256_of(path: Path) -> str:
    """Hash of a file's content; of a folder, the hash of its lines `HASH  NAME` as `sha256sum` prints them, sorted."""
    if path.is_dir():
        return folder_sha256({file.name: sha256_of(file) for file in path.iterdir() if not file.name.startswith(".")})
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_sha256(files: Mapping[str, str]) -> str:
    """Hash of a folder whose files have these names and hashes."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
