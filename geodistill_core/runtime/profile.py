# SPDX-License-Identifier: Apache-2.0
"""Everything static about a compiled model: sizes, camera kind, and how many headings one call compares."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork, GroundInput
from geodistill_core.types import GroundImage

if TYPE_CHECKING:
    from geodistill_core.localization.localizer import LocalizerConfig

_MOST_YAWS = 361
_TYPICAL_SIGMA_YAW_RAD = math.radians(10.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """Static shapes of the three calls, for a batch of one.

    `ground_px` (height, width) and `tile_px` are what the network reads, not what the camera and the map deliver;
    `yaws` hypotheses are compared by one call of the match. A pinhole camera's `horizon_px` is the first pixel row
    that may show ground: rows far above it are not encoded (0: all are; of no meaning for panoramas).

    Raises:
        ConfigError: a size is not positive.
    """

    kind: Literal["panorama", "pinhole"]
    ground_px: tuple[int, int]
    tile_px: int
    yaws: int
    horizon_px: int = 0

    def __post_init__(self) -> None:
        if min(*self.ground_px, self.tile_px) < 1 or not 1 <= self.yaws <= _MOST_YAWS:
            raise ConfigError(
                f"a profile of ground {self.ground_px} px, tile {self.tile_px} px, {self.yaws} yaws is not possible; "
                f"sizes are at least 1 and yaws at most {_MOST_YAWS}"
            )

    @staticmethod
    def of(network: AnyNetwork, image: GroundImage, config: LocalizerConfig, yaws: int | None = None) -> Profile:
        """The profile that serves images like `image` (its pixels do not matter) under these settings.

        `yaws` None: as many hypotheses as a heading known to 10 degrees takes, or one where they cost the same apart.
        """
        typical = 1 if network.headings_apart else _typical_yaws(config)
        ground = network.prepare_ground(image)
        tile_px = network.map_size_px or round(config.tile_extent_m / network.metres_per_pixel)
        return Profile.of_input(ground, tile_px, typical if yaws is None else yaws)

    @staticmethod
    def of_input(ground: GroundInput, tile_px: int, yaws: int) -> Profile:
        """The profile that serves ground input like this."""
        height, width = ground.pixels.shape[-2:]
        if ground.intrinsics is None:
            return Profile("panorama", (height, width), tile_px, yaws)
        horizon = math.floor(float(ground.intrinsics[:, 1, 2].min()))
        return Profile("pinhole", (height, width), tile_px, yaws, max(0, min(horizon, height - 1)))

    def key(self) -> str:
        """A short name that is different for every other profile."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _typical_yaws(config: LocalizerConfig) -> int:
    reach = math.ceil(_TYPICAL_SIGMA_YAW_RAD * config.yaw_window_sigmas / math.radians(config.yaw_step_deg))
    return 2 * reach + 1
