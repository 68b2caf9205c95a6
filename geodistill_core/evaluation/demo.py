# SPDX-License-Identifier: Apache-2.0
"""The demo's drive: made once per output folder, recognised by what it says of itself and by its hashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geodistill_core.bags.manifest import DriveManifest, load_manifest, sha256_of
from geodistill_core.bags.synth import write_synth_drive
from geodistill_core.datasets.synthcity import PANORAMA_RIG, WORLD_VERSION
from geodistill_core.errors import BagError


@dataclass(frozen=True, slots=True)
class DemoDrive:
    """A drive through a city of a style that no shipped network was trained on."""

    style: str = "midtown"
    seed: int = 20_003
    route: int = 1
    level: str = "standard"
    frames: int = 180
    frame_rate_hz: float = 2.5

    @property
    def steps(self) -> int:
        """Progress steps of making it: the frames and the map."""
        return self.frames + 1

    def synth_command(self, folder: Path) -> str:
        """The command that makes the same drive."""
        return (
            f"geodistill bag synth {folder} --style {self.style} --seed {self.seed} --route {self.route} "
            f"--level {self.level} --frames {self.frames} --rate {self.frame_rate_hz:g}"
        )

    def ready(self, bag: Path) -> bool:
        """Whether `bag` is this drive, with every file as it was written."""
        try:
            manifest = load_manifest(bag)
        except BagError:
            return False
        return manifest is not None and self._is(manifest) and _intact(manifest, bag.parent)

    def _is(self, manifest: DriveManifest) -> bool:
        made = manifest.synth
        return made is not None and (
            made.world_version,
            made.style,
            made.seed,
            made.route,
            made.level,
            made.frames,
            made.frame_rate_hz,
            made.rig,
        ) == (
            WORLD_VERSION,
            self.style,
            self.seed,
            self.route,
            self.level,
            self.frames,
            self.frame_rate_hz,
            PANORAMA_RIG.kind,
        )

    def make(self, bag: Path, step: Callable[..., None]) -> None:
        """Render the drive to `bag` with map and sidecar beside it; `step` is called `steps` times."""
        write_synth_drive(
            bag,
            self.style,
            self.seed,
            self.level,
            self.frames,
            frame_rate_hz=self.frame_rate_hz,
            route=self.route,
            progress=lambda done, total: step(),
        )


def _intact(manifest: DriveManifest, folder: Path) -> bool:
    return bool(manifest.sha256) and all(
        (folder / name).is_file() and sha256_of(folder / name) == digest for name, digest in manifest.sha256.items()
    )
