# SPDX-License-Identifier: Apache-2.0
"""Independent random streams, named by what they decide, identical in every process."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from geodistill_core.datasets.synthcity.levels import MAX_SEED, WORLD_VERSION
from geodistill_core.errors import ConfigError


def stream(style: str, seed: int, *tags: str | int) -> np.random.Generator:
    """The generator for one purpose in one city; raises ConfigError for a seed outside 0..2**31 - 1."""
    if not 0 <= seed < MAX_SEED:
        raise ConfigError(f"city seed {seed} is outside 0..{MAX_SEED - 1}; choose another")
    words = [WORLD_VERSION, zlib.crc32(style.encode()), int(seed)]
    words += [zlib.crc32(str(tag).encode()) for tag in tags]
    return np.random.default_rng(words)


class _Middle:
    """The draws of a generator, each the middle of its distribution."""

    def random(self, size: Any = None) -> Any:
        return 0.5 if size is None else np.full(size, 0.5)

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        return low + (high - low) * self.random(size)

    def normal(self, loc: float, scale: float, size: Any = None) -> Any:
        return loc if size is None else np.full(size, loc)

    def integers(self, high: int) -> int:
        return high // 2

    def choice(self, options: Sequence[float]) -> float:
        return options[0]


def no_chance() -> np.random.Generator:
    """A stand-in for a generator that always draws the middle: whatever is made from it is alike."""
    return cast(np.random.Generator, _Middle())
