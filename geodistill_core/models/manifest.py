# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint folder says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geodistill_core.errors import CheckpointError

MANIFEST_NAME = "manifest.json"
WEIGHTS_NAME = "model.safetensors"
_MAX_MANIFEST_BYTES = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Calibration(_Strict):
    """What makes the answers of a network mean what they say, and the held-out samples it was fitted on.

    One temperature for the heat map; factors on the sigmas of a frame's covariance along the vehicle's axes and in yaw;
    multiples of the published sigmas that hold the errors but for a share `risk` of the frames (None where they were
    not measured). `date` is that of the fit, as YYYY-MM-DD.
    """

    temperature: float = Field(gt=0, lt=1000)
    samples: int = Field(ge=1)
    fitted_on: str
    nll_before: float
    nll_after: float
    scale_across: float = Field(default=1.0, gt=0, lt=1000)
    scale_along: float = Field(default=1.0, gt=0, lt=1000)
    scale_yaw: float = Field(default=1.0, gt=0, lt=1000)
    protection_lateral: float | None = Field(default=None, gt=0)
    protection_longitudinal: float | None = Field(default=None, gt=0)
    risk: float = Field(default=0.01, gt=0, lt=1)
    date: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")


class TrackCalibration(_Strict):
    """What a track may claim, per axis of the vehicle, and the drives it was fitted on.

    `scale_*` multiply the particles' sigmas, `innovation_*` is the share of the heat maps' root mean square about the
    track that joins them; `protection_*` are multiples of sigma that hold the error but for `risk`. Errors follow
    Student's t of that many `degrees_of_freedom` with the claimed covariance, a Gaussian where there are none.
    """

    scale_along: float = Field(gt=0, lt=100)
    scale_across: float = Field(gt=0, lt=100)
    scale_yaw: float = Field(gt=0, lt=100)
    innovation_along: float = Field(ge=0, lt=100)
    innovation_across: float = Field(ge=0, lt=100)
    innovation_yaw: float = Field(ge=0, lt=100)
    degrees_of_freedom: float | None = Field(default=None, gt=2, lt=1e6)
    protection_lateral: float = Field(gt=0, lt=1000)
    protection_longitudinal: float = Field(gt=0, lt=1000)
    risk: float = Field(default=0.01, gt=0, lt=1)
    drives: int = Field(ge=1)
    samples: int = Field(ge=1)
    distance_m: float = Field(gt=0)
    fitted_on: str
    date: str


class Probe(_Strict):
    """A seeded input (see `probe.probe_output`) and the logits it must give; `tolerance` is a share of the largest."""

    seed: int
    expected: tuple[float, ...] = Field(min_length=8)
    tolerance: float = Field(gt=0, le=0.1)


class Source(_Strict):
    """The published file that an imported checkpoint was made from.

    `dropped` are its keys that the network does not run, `rounded` those that were float64, `importer` is the version
    of this package.
    """

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    format: str
    dropped: tuple[str, ...]
    rounded: tuple[str, ...]
    importer: str


class Manifest(_Strict):
    """The manifest of a checkpoint, schema version 1."""

    schema_version: Literal[1] = 1
    name: str
    architecture: str
    arguments: dict[str, Any] = {}
    inputs: dict[str, Any]
    metres_per_pixel: float
    preprocessing: str
    training: dict[str, Any]
    calibration: Calibration | None
    tracking: TrackCalibration | None = None
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    probe: Probe
    licence: str = Field(min_length=2)
    source: Source | None = None


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder.

    Raises:
        CheckpointError: it is missing, too large or not valid.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; a checkpoint is a folder with {WEIGHTS_NAME} and {MANIFEST_NAME}")
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes, more than {_MAX_MANIFEST_BYTES}; it is no manifest"
        )
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError(f"{path} is not a valid manifest: {error}") from error
