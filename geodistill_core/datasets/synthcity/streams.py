# SPDX-License-Identifier: Apache-2.0
"""Independent random streams, named by what they decide, identical in every process."""

from __future__ import annotations

import zlib

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
