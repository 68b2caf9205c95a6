# SPDX-License-Identifier: Apache-2.0
"""What maps cost while driving: a large cache after a start, tiles from it, and a bad network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from geodistill_core.errors import ConfigError
from geodistill_core.evaluation.bench.map_cache import bench_cache
from geodistill_core.evaluation.bench.map_drive import MapDriveOptions, bench_map_drive
from geodistill_core.runtime.device import processor

COLD_START_LIMIT_S = 2.0
WARM_LIMIT_MS = 3.0


@dataclass(frozen=True, slots=True)
class MapBenchOptions:
    """A cache of `tiles` tiles, from which `reads` pictures are taken; a drive of `seconds`."""

    tiles: int = 100_000
    reads: int = 100
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value, least, most in (("tiles", self.tiles, 1000, 1_000_000), ("reads", self.reads, 5, 10_000)):
            if not least <= value <= most:
                raise ConfigError(f"{name} {value} is outside {least}..{most}")
        _ = self.drive

    @property
    def drive(self) -> MapDriveOptions:
        """The drive. ConfigError where it is too short or too long."""
        return MapDriveOptions(seconds=self.seconds)

    @property
    def steps(self) -> int:
        """How often `bench_map` calls its `step`."""
        return 1 + int(self.seconds)


def bench_map(options: MapBenchOptions, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """`cache`: see `bench_cache`; `drive`: see `bench_map_drive`."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="geodistill-bench-") as folder:
            cache = bench_cache(Path(folder), options.tiles, options.reads)
    finally:
        cv2.setNumThreads(threads)
    step()
    drive = bench_map_drive(options.drive, step)
    kept = cache["cold_start_s"] <= COLD_START_LIMIT_S and cache["from_memory_ms"] <= WARM_LIMIT_MS
    return {
        "tiles": options.tiles,
        "reads": options.reads,
        "machine": {"processor": processor(), "threads": 1},
        "cache": cache | {"limits": {"cold_start_s": COLD_START_LIMIT_S, "from_memory_ms": WARM_LIMIT_MS}},
        "drive": drive,
        "within_limits": kept and drive["within_limits"],
    }
