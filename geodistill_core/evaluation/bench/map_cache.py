# SPDX-License-Identifier: Apache-2.0
"""How soon a large tile cache serves after a start, and how long a tile for a network takes from it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geodistill_core.errors import MapError
from geodistill_core.evaluation.bench.clock import own_time_s
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.address import TileAddress, addresses_around
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.cache.files import TileFiles, seal
from geodistill_core.maps.cache.index import Row
from geodistill_core.maps.cache.keeper import Keeper
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.live import LiveMap
from geodistill_core.maps.remote import RemoteTiles
from geodistill_core.maps.source import MapSource
from geodistill_core.maps.spec import SourceSpec
from geodistill_core.types import Array, GeoPoint

CENTER = GeoPoint(47.3769, 8.5417)
EXTENT_M, SIDE_PX, ZOOM = 70.0, 512, 20
_CACHE_BYTES, _AGE_S = 16 << 30, 1e7
# Where the tiles to read lie: in a square of this side. The last few of them are asked for again.
_ROAM_M, _RECENT, _SEED = 60.0, 5, 5
_SPEC = SourceSpec(
    name="bench", kind="xyz", url="http://127.0.0.1:1/{z}/{x}/{y}.jpg", zooms=(0, ZOOM), allow_private=True,
    attribution="made up", terms_url="own", terms_accepted=True, cache_allowed=True,
)  # fmt: skip


def bench_cache(folder: Path, tiles: int, reads: int) -> dict[str, float]:
    """Fill a cache with `tiles` entries, then time it.

    `cold_start_s`: from nothing to the first tile for a network, its files not in the system's memory either. The
    others are medians over tiles of EXTENT_M metres and SIDE_PX pixels as a network takes them, and differ in what is
    ready. `from_memory_ms`: the tile itself, cut for an earlier frame (the warm read). `from_decoded_ms`: the imagery,
    decoded; the tile is cut anew. `from_files_ms`: the files, in the system's memory; they are read, checked, decoded
    and cut. `one_file_ms`: reading and checking one of them. Time in which other programs had the processor does not
    count.
    """
    near = addresses_around(CENTER, EXTENT_M + 2 * _ROAM_M, ZOOM)
    fill(folder, near, tiles)
    _forget(folder, near)
    local, rng = LocalFrame(CENTER), np.random.default_rng(_SEED)
    places = [local.point(*rng.uniform(-_ROAM_M / 2, _ROAM_M / 2, 2)) for _ in range(reads)]
    begun_s = own_time_s()
    with closing(_opened(folder)) as live:
        _read(live, CENTER)
        cold_s = own_time_s() - begun_s
        for address in near:
            live.source.load(address)
        from_decoded_ms = _median_ms(lambda place: _read(live, place), places)
        recent = places[-_RECENT:]
        from_memory_ms = _median_ms(lambda place: _read(live, place), recent * (reads // len(recent)))
    with closing(_opened(folder)) as live:
        fetcher, cache = live.source.fetcher, live.source.cache
        from_files_ms = _median_ms(lambda place: _read(LiveMap(RemoteTiles(_SPEC, fetcher, cache)), place), places)
        assert cache is not None
        one_file_ms = _median_ms(lambda address: cache.get(_SPEC.source_id, str(address)), near)
    return {
        "cold_start_s": cold_s,
        "from_memory_ms": from_memory_ms,
        "from_decoded_ms": from_decoded_ms,
        "from_files_ms": from_files_ms,
        "one_file_ms": one_file_ms,
    }


def fill(folder: Path, near: tuple[TileAddress, ...], tiles: int) -> None:
    """Put pictures like photographs at the `near` addresses and small ones at others, without syncing each file."""
    rng, files, rows = np.random.default_rng(_SEED), TileFiles(folder / "tiles"), []
    small = _jpeg(np.full((256, 256, 3), 90, np.uint8))
    others = (TileAddress(ZOOM, number % 1000, 1000 + number // 1000) for number in range(tiles - len(near)))
    contents = [*((address, _jpeg(_picture(rng))) for address in near), *((address, small) for address in others)]
    for address, content in contents:
        digest = seal(_SPEC.source_id, str(address), content)
        path = files.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        rows.append(Row(_SPEC.source_id, str(address), digest, len(content), None, None, time.time(), _AGE_S))
    keeper = Keeper(folder)
    keeper.change(lambda change: [change.add(row) for row in rows])
    keeper.close()


def _opened(folder: Path) -> LiveMap:
    return LiveMap(RemoteTiles(_SPEC, Fetcher(_SPEC), DiskCache(folder, _CACHE_BYTES)))


def _read(live: MapSource, place: GeoPoint) -> None:
    tile = live.tile(place, EXTENT_M, EXTENT_M / SIDE_PX)
    if tile.provisional or not tile.valid.all():
        raise MapError(f"the tile at {place} is not complete, though the cache was filled; this is a bug")


def _median_ms(read: Callable[[Any], object], places: Iterable[Any]) -> float:
    taken = []
    for place in places:
        before_s = own_time_s()
        read(place)
        taken.append(own_time_s() - before_s)
    return float(np.median(taken)) * 1e3


def _forget(folder: Path, near: tuple[TileAddress, ...]) -> None:
    """Drop what is about to be read from the system's memory, where the system allows it."""
    with DiskCache(folder, _CACHE_BYTES) as cache:
        held = [(address, cache.get(_SPEC.source_id, str(address))) for address in near]
    digests = [seal(_SPEC.source_id, str(address), tile.content) for address, tile in held if tile and tile.content]
    files = TileFiles(folder / "tiles")
    for path in (*folder.glob("index-*"), *(files.path(digest) for digest in digests)):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _jpeg(rgb: Array) -> bytes:
    return bytes(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _picture(rng: np.random.Generator) -> Array:
    coarse = rng.integers(40, 200, (32, 32, 3), np.uint8)
    noise = rng.integers(0, 24, (256, 256, 3), np.uint8)
    return np.asarray(cv2.add(cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC), noise))
