# SPDX-License-Identifier: Apache-2.0
"""What is adapted to which drive, and what all steps of it share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geodistill_core.bags.manifest import sha256_of
from geodistill_core.bags.reader import DriveReader
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.maps import MapSource
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.manifest import Manifest
from geodistill_training.adapt.drive_parts import DriveParts
from geodistill_training.adapt.odometry import Odometry
from geodistill_training.adapt.pipeline import Engine
from geodistill_training.adapt.verdict import Rule
from geodistill_training.recipe.bag import BagData

Step = Callable[..., None]
Shown = Callable[[str, int], AbstractContextManager[Step]]
"""Shows progress of so many steps under a title, and yields what to call after each."""


@contextmanager
def unseen(title: str, total: int) -> Iterator[Step]:
    """No progress is shown."""
    yield lambda *_: None


@dataclass(frozen=True)
class DriveJob:
    """Adapt `model` (a shipped name or folder) to `bag` over `map`.

    All work lies in the folder `run`, and goes on there; `output` gets the adapted checkpoint only if it is promoted.
    `camera_height_m` is for drives that do not state their mount.
    """

    bag: Path
    map: Path
    model: str
    run: Path
    output: Path
    camera_height_m: float | None = None
    engine: Engine = field(default_factory=Engine)
    rule: Rule = field(default_factory=Rule)
    shown: Shown = unseen

    def digest(self) -> str:
        """Identifies the recording."""
        files = sorted(self.bag.iterdir()) if self.bag.is_dir() else [self.bag]
        return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


@dataclass(frozen=True)
class OpenDrive:
    """The drive of a job, divided, over its map."""

    reader: DriveReader
    odometry: Odometry
    parts: DriveParts
    source: MapSource
    data: BagData

    def localizer(self, network: AnyNetwork, manifest: Manifest, prior: Literal["gaussian", "flat"]) -> Localizer:
        """A network over the drive's map, calibrated as `manifest` says, with or without GNSS in its answers."""
        config = LocalizerConfig(prior=prior, tile_extent_m=self.data.tile_extent_m)
        return Localizer(network.cpu().eval(), manifest, self.source, config)
