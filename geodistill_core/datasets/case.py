# SPDX-License-Identifier: Apache-2.0
"""A data set's sample as a vehicle meets it: a prior that is wrong in a known way, an attitude, and the truth.

Evaluation on the tree and the bags made of it ask for the same cases, so that both ask the same question.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import ConfigError, DatasetError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.folder import TILE_NAME
from geodistill_core.types import GeoPoint, Prior

_KNOWN_HEADING_SIGMA_RAD = math.radians(1.0)
_MAX_SIGMA_M = 100.0


@dataclass(frozen=True, slots=True)
class PriorNoise:
    """How wrong priors are, drawn anew for each sample from `seed` and its key, in whatever order.

    `gnss_sigma_m` is the standard deviation of the position, east and north; None takes the split's own: the tile's
    centre on VIGOR, the listed displacement on KITTI. The heading is wrong by up to `heading_range_deg`, uniformly.
    """

    gnss_sigma_m: float | None = None
    heading_range_deg: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.gnss_sigma_m is not None and not 0.0 < self.gnss_sigma_m <= _MAX_SIGMA_M:
            raise ConfigError(f"GNSS sigma {self.gnss_sigma_m} m is outside 0..{_MAX_SIGMA_M:g}; leave it out for none")
        if not 0.0 <= self.heading_range_deg <= 180.0:
            raise ConfigError(f"heading range {self.heading_range_deg} degrees is outside 0..180 (unknown)")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed} is outside 0..2^63 - 1")

    def draws(self, key: str) -> np.random.Generator:
        """Where the chances of one sample come from."""
        digest = hashlib.sha256(key.encode()).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest[:8], "little")])

    @property
    def sigma_yaw_rad(self) -> float:
        """Standard deviation of the heading; a known one counts as good to a degree."""
        return max(math.radians(self.heading_range_deg) / math.sqrt(3.0), _KNOWN_HEADING_SIGMA_RAD)


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked about one sample; `roll_rad` and `pitch_rad` are the vehicle's attitude (REP-103)."""

    key: str
    prior: Prior
    truth: Truth
    roll_rad: float = 0.0
    pitch_rad: float = 0.0


@dataclass(frozen=True, slots=True)
class TileFile:
    """An overhead image on the disk; `name` (`satellite_LATITUDE_LONGITUDE.png`) says where its centre is."""

    path: Path
    name: str

    @property
    def center_degrees(self) -> tuple[float, float]:
        """Latitude and longitude, exactly as a folder of such names is read."""
        match = TILE_NAME.fullmatch(self.name)
        if match is None:
            raise DatasetError(f"{self.name} says no latitude and longitude; name it satellite_LATITUDE_LONGITUDE.png")
        return float(match.group(1)), float(match.group(2))


def noisy_point(truth: Truth, sigma_m: float, draws: np.random.Generator) -> GeoPoint:
    """A position beside the truth: east and north errors are Gaussian and independent."""
    east_m, north_m = draws.normal(0.0, sigma_m, size=2)
    return LocalFrame(truth.point).point(float(east_m), float(north_m))


def is_picture(path: Path, side_px: int) -> bool:
    """Whether a file begins as a square picture of that size; its pixels are not decoded."""
    try:
        with Image.open(path) as picture:
            return picture.size == (side_px, side_px)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
