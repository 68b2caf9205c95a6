# SPDX-License-Identifier: Apache-2.0
"""A map of an area fetched beforehand: politely, with what fails named, and to be continued."""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from geodistill_core.errors import ConfigError, MapError
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.area import Area
from geodistill_core.maps.area_file import ABSENT, AreaFile
from geodistill_core.maps.cut import cut
from geodistill_core.maps.encode import encode_tile
from geodistill_core.maps.fetch import Absent, Fetched, Fetcher, FetchError, Health
from geodistill_core.maps.source import MapSource
from geodistill_core.maps.spec import SourceSpec
from geodistill_core.maps.target import SlippyTarget

BYTES_PER_PIXEL = 0.45
"""Of aerial imagery as JPEG: about 30 kB for a tile of 256 pixels."""
PATIENCE_S = 600.0
"""How long a server that was there may be gone before fetching ends."""
_TILE_S, _PAUSE_S = 120.0, 30.0
_AHEAD = 4
# What no other tile of the source will do better with.
_HOPELESS = ("forbidden", "refused", "cancelled")

TileGetter = Callable[[TileAddress], "bytes | None"]
"""The content of a tile, None where there is no imagery. FetchError: not this one. MapError: none at all."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tiles by zoom level, and about how many bytes they are."""

    tiles: Mapping[int, int]
    bytes: int

    @property
    def count(self) -> int:
        """Tiles of all zoom levels."""
        return sum(self.tiles.values())


@dataclass(frozen=True, slots=True)
class FetchedArea:
    """What a run did: tiles that were there before, fetched, absent at the source, and failed, by cause."""

    known: int
    fetched: int
    absent: int
    failed: Mapping[str, int]
    tiles_in_file: int
    bytes_in_file: int


def estimate(area: Area, zooms: Sequence[int], tile_pixels: int = 256) -> Estimate:
    """How much an area is, before anything is fetched."""
    tiles = {zoom: area.count(zoom) for zoom in zooms}
    return Estimate(tiles, round(sum(tiles.values()) * tile_pixels**2 * BYTES_PER_PIXEL))


def ask(spec: SourceSpec, fetcher: Fetcher) -> TileGetter:
    """Tiles as the server of a source gives them."""
    return lambda address: _content(spec, fetcher.get(spec.tile_url(address), deadline_s=_TILE_S))


def patient(get: TileGetter, fetcher: Fetcher, tell: Callable[[str], object]) -> TileGetter:
    """As `get`; waits for a server that answered before and is gone, and for one that wants to be left alone.

    After ten minutes, or where waiting does not help (a refused key), MapError ends it all.
    """

    def get_at_last(address: TileAddress) -> bytes | None:
        waited_s = 0.0
        while True:
            try:
                return get(address)
            except FetchError as error:
                pause_s = _pause_s(error, fetcher.health())
                if pause_s == 0.0:
                    raise
                if waited_s + pause_s > PATIENCE_S:
                    raise MapError(_last_word(error)) from None
                tell(f"{error}; trying again in {pause_s:.0f} s")
                if fetcher.stop.wait(pause_s):
                    raise MapError(f"stopped while waiting: {error}") from None
                waited_s += pause_s

    return get_at_last


def _pause_s(error: FetchError, health: Health) -> float:
    """Seconds until asking again helps: 0 where it is this tile that fails, infinite where nothing will help."""
    if error.cause in _HOPELESS:
        return math.inf
    if error.cause == "rate_limited":
        return max(error.retry_after_s, 1.0)
    if health.state != "offline":
        return 0.0
    return min(max(error.retry_after_s, 1.0), _PAUSE_S) if health.counters.get("fetched") else math.inf


def _last_word(error: FetchError) -> str:
    if error.cause in _HOPELESS or error.cause == "rate_limited":
        return str(error)
    return (
        f"the service does not answer ({error.cause}); check the network and the url of the source, then run the same "
        "command again: what was fetched is kept"
    )


def _content(spec: SourceSpec, got: object) -> bytes | None:
    if isinstance(got, Absent) or not isinstance(got, Fetched):
        return None
    if not got.may_store:
        raise MapError(f"the server of {spec.name} forbids keeping copies (Cache-Control: no-store); drive online")
    return got.content


def draw(source: MapSource, tile_pixels: int = 256) -> TileGetter:
    """Tiles drawn from any map, as JPEG where they are full."""

    def get(address: TileAddress) -> bytes | None:
        rgb, valid = cut(source, SlippyTarget(address.column, address.row, address.zoom, tile_pixels))
        return encode_tile(rgb, valid, "jpg") if valid.any() else None

    return get


def fetch_area(
    area: Area,
    zooms: Sequence[int],
    get: TileGetter,
    file: AreaFile,
    *,
    metadata: Mapping[str, str],
    connections: int = 2,
    stop: threading.Event | None = None,
    step: Callable[[], object] = lambda: None,
) -> FetchedArea:
    """Bring all tiles of the area into `file` and finish it; a tile that fails is left out, counted and named there.

    `connections` tiles at a time; `step` is called for every tile. Whatever ends this early sets `stop`, and the file
    keeps what it has.

    Raises:
        MapError: the source cannot go on, the disk cannot, or there is no imagery at all.
    """
    if not zooms:
        raise ConfigError("no zoom level to fetch; name at least one")
    counts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    pool = ThreadPoolExecutor(connections, thread_name_prefix="map fetch")
    try:
        for address, result in _results(area, zooms, get, file, pool, connections * _AHEAD):
            if result is None:
                counts["known"] += 1
            else:
                _settle(address, result, file, counts, failed)
            step()
    except BaseException:
        if stop is not None:
            stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    tiles, size = file.totals()
    file.finish(metadata)
    return FetchedArea(counts["known"], counts["fetched"], counts["absent"], dict(failed), tiles, size)


def _results(
    area: Area, zooms: Sequence[int], get: TileGetter, file: AreaFile, pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[TileAddress, Future[bytes | None] | None]]:
    """Every tile in order with what will become of it, None where the file knows already; `ahead` are under way."""
    waiting: deque[tuple[TileAddress, Future[bytes | None]]] = deque()
    for zoom in zooms:
        known = file.known(zoom)
        for address in area.tiles(zoom):
            if (address.column, address.row) in known:
                yield address, None
                continue
            waiting.append((address, pool.submit(get, address)))
            if len(waiting) >= ahead:
                yield waiting.popleft()
    yield from waiting


def _settle(
    address: TileAddress,
    result: Future[bytes | None],
    file: AreaFile,
    counts: Counter[str],
    failed: Counter[str],
) -> None:
    try:
        content = result.result()
    except FetchError as error:
        failed[error.cause] += 1
        file.miss(address, error.cause)
        return
    if content is None:
        counts["absent"] += 1
        file.miss(address, ABSENT)
    else:
        counts["fetched"] += 1
        file.put(address, content)
