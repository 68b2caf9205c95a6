# SPDX-License-Identifier: Apache-2.0
"""What was run on what: names, configuration and hashes, so that two runs can be told apart or called the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodistill_core.bags.manifest import DriveManifest, sha256_of
from geodistill_core.bags.reader import DriveReader, ReaderOptions
from geodistill_core.localization import Localizer
from geodistill_core.models.checkpoint import resolve
from geodistill_core.models.manifest import Calibration, read_manifest


@dataclass(frozen=True)
class RunInfo:
    """How reports and metrics name a run; without folders, so that machines agree.

    `fingerprint` identifies model and settings; `hashes` are SHA-256 of the bag, the map and the model.
    `calibration` is that of the model.
    """

    title: str
    model: str
    map_name: str
    seed: int | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values under the names of metrics.json."""
        return {
            "title": self.title,
            "model": self.model,
            "map": self.map_name,
            "seed": self.seed,
            "configuration": dict(self.configuration),
            "fingerprint": self.fingerprint,
            "hashes": dict(self.hashes),
        }


def run_info(reader: DriveReader, localizer: Localizer, map_path: Path, mode: str, *, track: bool = False) -> RunInfo:
    """How reports name a run of this drive, map and localizer; `mode` says how it was run, `track` what is answered."""
    title, seed, origin = _origin(reader.path, reader.manifest)
    configuration = {
        "drive": reader.path.name,
        "run": mode,
        "output": "tracked" if track else "per frame",
        "camera": "pinhole" if reader.pinhole else "panorama",
        "prior": localizer.config.prior,
        "tile": f"{localizer.tile_extent_m:g} m",
        **{f"{kind} topic": topic for kind, topic in reader.topics.items()},
        **_chosen(reader.options),
        **origin,
    }
    hashes = {"bag": sha256_of(reader.path), "map": sha256_of(map_path), "model": localizer.manifest.sha256}
    if reader.truth_file is not None:
        configuration["truth"] = reader.truth_file.name
    if localizer.config.orientation_model:
        configuration["orientation model"] = Path(localizer.config.orientation_model).name
        hashes["orientation model"] = read_manifest(resolve(localizer.config.orientation_model)).sha256
    if reader.truth_file is not None:
        hashes["truth"] = sha256_of(reader.truth_file)
    manifest = localizer.manifest
    return RunInfo(
        title, manifest.name, map_path.name, seed, configuration, localizer.fingerprint(), hashes, manifest.calibration
    )


def _origin(path: Path, manifest: DriveManifest | None) -> tuple[str, int | None, dict[str, Any]]:
    """Title, seed and origin of a drive as its sidecar states them."""
    if manifest is not None and manifest.synth is not None:
        synth = manifest.synth
        facts = {"style": synth.style, "level": synth.level, "frame rate": f"{synth.frame_rate_hz:g} Hz"}
        return f"Drive through {synth.style}, seed {synth.seed}", synth.seed, facts
    if manifest is not None and manifest.dataset is not None:
        part = manifest.dataset
        facts = {"data set": part.dataset, "split": part.split, "area": part.area, "GNSS noise": part.gnss}
        return f"{part.dataset} {part.area} {part.split}".strip(), part.seed, facts
    return f"Drive {path.stem}", None, {}


def _chosen(options: ReaderOptions) -> dict[str, str]:
    """What was said about the sensors beyond the drive itself."""
    standard, said = ReaderOptions(), {}
    if options.T_base_camera is not None:
        said["camera mount"] = "given"
    elif options.mount is not None:
        place = options.mount
        turned = ", ".join(f"{math.degrees(angle):g}" for angle in (place.roll_rad, place.pitch_rad, place.yaw_rad))
        said["camera mount"] = f"{place.x_m:g}, {place.y_m:g}, {place.z_m:g} m; {turned} degrees"
    elif options.camera_height_m is not None:
        said["camera mount"] = f"{options.camera_height_m:g} m high"
    if options.sigma_height_m:
        said["camera height"] = f"uncertain by {options.sigma_height_m:g} m"
    if options.default_sigma_m != standard.default_sigma_m:
        said["GNSS sigma where none is stated"] = f"{options.default_sigma_m:g} m"
    if options.default_sigma_yaw_rad != standard.default_sigma_yaw_rad:
        said["heading sigma where none is stated"] = f"{options.default_sigma_yaw_rad:g} rad"
    truth = options.truth
    if truth.datum is not None:
        said["truth datum"] = f"{truth.datum.latitude!r}, {truth.datum.longitude!r}"
    if truth.offset_s:
        said["truth offset"] = f"{truth.offset_s:g} s"
    if truth.max_gap_s != standard.truth.max_gap_s:
        said["truth gap"] = f"{truth.max_gap_s:g} s at most"
    if options.salvage:
        said["salvage"] = "yes"
    for name in options.buffer.__slots__:
        value = getattr(options.buffer, name)
        if value != getattr(standard.buffer, name):
            said[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return said
