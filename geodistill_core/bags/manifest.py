# SPDX-License-Identifier: Apache-2.0
"""The JSON sidecar of a drive: what a bag cannot say, first of all where the camera sits."""

from __future__ import annotations

import hashlib
import json
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


class DriveManifest(BaseModel):
    """A drive's sidecar; `T_base_camera` is 4x4 row by row, `sha256` maps file names beside it to their
    hashes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    T_base_camera: tuple[tuple[float, float, float, float], ...]
    synth: SynthOrigin | None = None
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
    """Hash of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
