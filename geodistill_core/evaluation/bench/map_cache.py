# SPDX-License-Identifier: Apache-2.0
"""How soon a large tile cache serves after a start, and how long a tile for a network takes from it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.maps.address import TileAddress, addresses_around
from geodistill_core.maps.cache import DiskCache
from geodistill_core.maps.cache.files import TileFiles, seal
from geodistill_core.maps.cache.index import Row
from geodistill_core.maps.cache.keeper import Keeper
from geodistill_core.maps.fetch import Fetcher
from geodistill_core.maps.remote import RemoteTiles
from geodistill_core.maps.spec import SourceSpec
from geodistill_core.types import Array, GeoPoint

CENTER = GeoPoint(47.3769, 8.5417)
EXTENT_M, SIDE_PX, ZOOM = 70.0, 512, 20
_CACHE_BYTES, _AGE_S = 16 << 30, 1e7
# Where the tiles to read lie: all within a square of this side, so that reading again finds them in memory.
_ROAM_M, _SEED = 60.0, 5
_SPEC = SourceSpec(
    name="bench", kind="xyz", url="http://127.0.0.1:1/{z}/{x}/{y}.jpg", zooms=(0, ZOOM), allow_private=True,
    attribution="made up", terms_url="own", terms_accepted=True, cache_allowed=True,
)  # fmt: skip


def bench_cache(folder: Path, tiles: int, reads: int) -> dict[str, float]:
    """Fill a cache with `tiles` entries, then time it.

    `cold_start_s`: from nothing to the first tile for a network, its files not in the system's memory either.
    `warm_ms`: the median of `reads` tiles for a network at different places, their imagery decoded in memory.
    `from_disk_ms`: the same with nothing decoded, so that every piece is read, checked and decoded.
    `piece_ms`: the median of one piece, read and checked.
    """
    near = addresses_around(CENTER, EXTENT_M + 2 * _ROAM_M, ZOOM)
    fill(folder, near, tiles)
    _forget(folder, near)
    begun_s = time.process_time()
    with _opened(folder) as source:
        _read(source, CENTER)
        cold_s = time.perf_counter() - begun_s
        local, rng = LocalFrame(CENTER), np.random.default_rng(_SEED)
        places = [local.point(*rng.uniform(-_ROAM_M / 2, _ROAM_M / 2, 2)) for _ in range(reads)]
        for place in places:
            _read(source, place)
        warm_ms = _median_ms(lambda place: _read(source, place), places)
    from_disk_ms, piece_ms = _from_disk(folder, places, near)
    return {"cold_start_s": cold_s, "warm_ms": warm_ms, "from_disk_ms": from_disk_ms, "piece_ms": piece_ms}


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


@contextmanager
def _opened(folder: Path) -> Iterator[RemoteTiles]:
    with DiskCache(folder, _CACHE_BYTES) as cache, RemoteTiles(_SPEC, Fetcher(_SPEC), cache) as source:
        assert isinstance(source, RemoteTiles)
        yield source


def _read(source: RemoteTiles, place: GeoPoint) -> None:
    tile = source.tile_at_hand(place, EXTENT_M, EXTENT_M / SIDE_PX)
    assert tile is not None and tile.valid.all()


def _from_disk(folder: Path, places: list[GeoPoint], near: tuple[TileAddress, ...]) -> tuple[float, float]:
    with DiskCache(folder, _CACHE_BYTES) as cache:

        def anew(place: GeoPoint) -> None:
            _read(RemoteTiles(_SPEC, fetcher, cache), place)

        fetcher = Fetcher(_SPEC)
        tile_ms = _median_ms(anew, places)
        piece_ms = _median_ms(lambda address: cache.get(_SPEC.source_id, str(address)), near)
        fetcher.close()
    return tile_ms, piece_ms


def _median_ms(read: Callable[[Any], object], places: Iterable[Any]) -> float:
    taken = []
    for place in places:
        before_s = time.process_time()
        read(place)
        taken.append(time.process_time() - before_s)
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
