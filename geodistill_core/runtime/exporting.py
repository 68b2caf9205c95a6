# SPDX-License-Identifier: Apache-2.0
"""One checkpoint for one back end and camera: files in a folder, or an engine in this machine's cache."""

from __future__ import annotations

import contextlib
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.localization.localizer import LocalizerConfig
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.checkpoint import load_checkpoint
from geodistill_core.runtime.backend import Precision
from geodistill_core.runtime.build import build
from geodistill_core.runtime.calibration import recorded_frames
from geodistill_core.runtime.ladder import Runtime, RuntimeOptions, Work, backend, compiled
from geodistill_core.runtime.openvino_backend import save_ir
from geodistill_core.runtime.profile import Profile
from geodistill_core.types import CameraModel, GroundImage, forward_optical_mount

_IMAGE_PX = (512, 1024)
_CAMERA_HEIGHT_M = 1.65
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What `geodistill export` was asked for; `drive` None calibrates int8 on SynthCity."""

    model: str
    backend: str
    precision: str
    camera: str
    horizon_share: float
    tile_extent_m: float
    yaws: int | None
    drive: Path | None = None
    map_path: Path | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.horizon_share <= 1.0:
            raise ConfigError(f"horizon_share {self.horizon_share} is outside 0..1 of the image's height")


def export_to(order: ExportOrder, folder: Path) -> dict[str, Any]:
    """Write the files of an order into a folder; what was written, in which precision, how far it is from torch.

    Raises:
        CheckpointError, ConfigError: the model or its camera cannot be used.
        RuntimeBackendError: the back end is not there, or no precision passes the gate.
    """
    chosen = backend(order.backend)
    precision = cast(Precision, order.precision)
    if precision not in chosen.precisions:
        raise ConfigError(f"{order.backend} has {', '.join(chosen.precisions)}, not {precision}; name one of these")
    network, manifest = load_checkpoint(order.model)
    profile = _profile(network, order)
    frames = None if order.drive is None else recorded_frames(network, profile, order.drive, order.map_path)
    with contextlib.redirect_stdout(sys.stderr):  # a build tells how it goes
        built = build(network, manifest, profile, chosen, precision, folder, frames)
    if order.backend == "openvino":
        save_ir(folder)
    return {
        "folder": str(folder),
        "backend": order.backend,
        "precision": built["precision"],
        "refused": [f"{name}: {why}" for name, why in built["refused"].items()],
        **built["parity"],
        "profile": profile.key(),
        **asdict(profile),
        "files": sorted(path.name for path in folder.iterdir()),
    }


def build_into_cache(order: ExportOrder) -> dict[str, Any]:
    """Build an order's engine into this machine's cache, where it is found from then on.

    Raises:
        ConfigError: int8 is to be calibrated on a drive, which only exported files can be.
        CheckpointError, RuntimeBackendError: as `export_to`.
    """
    if order.drive is not None:
        raise ConfigError("--build-only calibrates on SynthCity; export to a folder (-o) to calibrate on a drive")
    network, manifest = load_checkpoint(order.model)
    profile = _profile(network, order)
    options = RuntimeOptions(cast(Runtime, order.backend), cast(Precision, order.precision))
    _, choice = compiled(Work(network, manifest, profile, options, log.info))
    return {**choice.facts(), "profile": profile.key(), **asdict(profile)}


def _profile(network: AnyNetwork, order: ExportOrder) -> Profile:
    """The profile of a level camera; sizes of its images do not matter, networks read their own."""
    height, width = _IMAGE_PX
    pixels = np.zeros((height, width, 3), np.uint8)
    if order.camera == "panorama":
        image = GroundImage.panorama(pixels)
    else:
        K = np.array([[width / 2, 0, width / 2], [0, width / 2, order.horizon_share * height], [0, 0, 1.0]])
        image = GroundImage.pinhole(pixels, CameraModel(width, height, K), forward_optical_mount(_CAMERA_HEIGHT_M))
    return Profile.of(network, image, LocalizerConfig(tile_extent_m=order.tile_extent_m), order.yaws)
