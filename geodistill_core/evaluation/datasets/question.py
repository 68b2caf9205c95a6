# SPDX-License-Identifier: Apache-2.0
"""What the papers ask: one ground image on its own tile, the position unknown, the heading known to a range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geodistill_core.datasets.case import Case
from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import GroundImage, MapTile


@dataclass(frozen=True, slots=True)
class PaperOptions:
    """The heading is known within `heading_range_deg` to either side (0: exactly, 180: not at all) and searched in
    steps of at most `yaw_step_deg`. Chances come from `seed` and each sample's key."""

    heading_range_deg: float = 0.0
    yaw_step_deg: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.heading_range_deg <= 180.0:
            raise ConfigError(f"heading range {self.heading_range_deg} degrees is outside 0 (known) to 180 (unknown)")
        if not 0.5 <= self.yaw_step_deg <= 15.0:
            raise ConfigError(f"yaw step {self.yaw_step_deg} degrees is outside 0.5..15")


@dataclass(frozen=True, slots=True)
class Question:
    """One sample after its files were read.

    On the tile "east" means right and "north" up, whatever they are on the earth: `on_tile` is the truth there and
    `yaw_rad` the heading that is believed; `case` has both on the earth, its prior lies at the tile's centre.
    """

    number: int
    case: Case
    image: GroundImage
    tile: MapTile
    on_tile: Truth
    yaw_rad: float


class PaperSet(Protocol):
    """A part of a data set under the papers' protocol."""

    lists: dict[str, Path]
    """The published lists by the names under which results know them."""
    rejected: dict[str, str]
    """Why lines of its lists are no samples, by `FILE:LINE`."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """How results name a sample."""

    def question(self, index: int, network: AnyNetwork) -> Question:
        """Read a sample, with the tile that a network needs.

        Raises:
            DatasetError: its files are missing or broken; the message names them.
        """

    def fitted(self, tile: MapTile, network: AnyNetwork) -> MapTile:
        """A question's tile in the size and resolution that a network reads."""


def sigma_yaw_rad(options: PaperOptions) -> float:
    """Standard deviation of a heading that is evenly distributed over the range, as small as priors may be."""
    return max(math.radians(options.heading_range_deg) / math.sqrt(3.0), 1e-6)
