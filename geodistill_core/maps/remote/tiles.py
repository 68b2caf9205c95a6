# SPDX-License-Identifier: Apache-2.0
"""Services that give one picture for each address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geodistill_core.errors import MapError
from geodistill_core.maps.address import TileAddress
from geodistill_core.maps.cache import Cached, MemoryCache, Validators
from geodistill_core.maps.decode import decode_tile
from geodistill_core.maps.fetch import Absent, Fetched, Unchanged
from geodistill_core.maps.remote.pyramid import PyramidSource
from geodistill_core.maps.remote.source import Piece
from geodistill_core.maps.slippy import DecodedTile, bytes_of
from geodistill_core.maps.target import Target

# What came from disk is looked up there again after this time: its age is known there.
_LOOK_AGAIN_S = 60.0
# Services that ask for a new request each time are asked again after this time: it is imagery, not weather.
_LEAST_AGE_S = 600.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A decoded tile: to be taken as `fresh` or not until `until_s`; `stored_s` and `validators` as on disk."""

    pixels: DecodedTile | None
    fresh: bool
    until_s: float
    stored_s: float | None
    validators: Validators


class RemoteTiles(PyramidSource):
    """A service of tiles in the slippy scheme, be it XYZ, TMS, WMTS or pictures drawn by a WMS."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held: MemoryCache[TileAddress, _Held] = MemoryCache(self.memory_bytes)

    def instead(self, absent: Sequence[TileAddress], target: Target) -> Sequence[TileAddress]:
        """See `RemoteSource.instead`; nothing stands in for what lies beyond the source's bounds."""
        return super().instead([address for address in absent if self.offers(address)], target)

    def piece_at_hand(self, address: TileAddress) -> Piece | None:
        """See `RemoteSource.piece_at_hand`."""
        if not self.offers(address):
            return Piece(None, True)
        now_s = self.clock()
        held = self._held.get(address)
        if held is not None and now_s < held.until_s:
            return Piece(held.pixels, held.fresh)
        cached = self._cached(address)
        if cached is None:
            return None if held is None else Piece(held.pixels, False)
        try:
            pixels = self._known_pixels(address, held, cached)
        except MapError:
            return None
        self._keep(address, _Held(pixels, cached.fresh, now_s + _LOOK_AGAIN_S, cached.stored_s, cached.validators))
        return Piece(pixels, cached.fresh)

    def fetch_piece(self, address: TileAddress, deadline_s: float) -> None:
        """See `RemoteSource.fetch_piece`."""
        held, cached = self._held.get(address), self._cached(address)
        known = cached or held
        asked = None if known is None else known.validators
        answer = self.fetcher.get(self.url_of(address), validators=asked, deadline_s=deadline_s)
        age_s = self._age_s(answer)
        pixels, validators = None, Validators()
        if isinstance(answer, Fetched):
            pixels, validators = self._decode(answer.content, address), answer.validators
            if answer.may_store:
                self._store(address, answer.content, validators, age_s)
        elif isinstance(answer, Absent):
            self._store(address, None, validators, age_s)
        elif known is not None:
            pixels, validators = self._known_pixels(address, held, cached), known.validators
            if self.cache is not None:
                self.cache.touch(self.spec.source_id, str(address), age_s)
        self._keep(address, _Held(pixels, True, self.clock() + age_s, None, validators))

    def _known_pixels(self, address: TileAddress, held: _Held | None, cached: Cached | None) -> DecodedTile | None:
        if cached is not None and not (held is not None and held.stored_s == cached.stored_s):
            return None if cached.content is None else self._decode(cached.content, address)
        return None if held is None else held.pixels

    def url_of(self, address: TileAddress) -> str:
        """Where a tile lies; {key} stays in it."""
        return self.spec.tile_url(address)

    def offers(self, address: TileAddress) -> bool:
        """Whether the address touches the bounds that the spec gives."""
        return self.spec.bounds is None or self.bounds().touches(address.bounds)

    def _decode(self, content: bytes, address: TileAddress) -> DecodedTile:
        return decode_tile(content, f"tile {address} of {self.spec.name}", (self.spec.tile_pixels,))

    def _cached(self, address: TileAddress) -> Cached | None:
        return None if self.cache is None else self.cache.get(self.spec.source_id, str(address))

    def _store(self, address: TileAddress, content: bytes | None, validators: Validators, age_s: float) -> None:
        if self.cache is not None:
            self.cache.put(self.spec.source_id, str(address), content, validators, age_s)

    def _keep(self, address: TileAddress, held: _Held) -> None:
        self._held.put(address, held, bytes_of(held.pixels))

    def _age_s(self, answer: Fetched | Unchanged | Absent) -> float:
        if isinstance(answer, Absent):
            return answer.max_age_s
        return max(_LEAST_AGE_S, self.spec.max_age_s if answer.max_age_s is None else answer.max_age_s)
