# SPDX-License-Identifier: Apache-2.0
"""A file on a server, read by byte ranges in pages that are kept in memory and on disk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from geodistill_core.errors import MapError
from geodistill_core.maps.cache import Cached, DiskCache, MemoryCache, Validators
from geodistill_core.maps.fetch import Fetched, Fetcher, FetchError
from geodistill_core.maps.spec import SourceSpec

PAGE_BYTES = 1 << 16
_MEMORY_BYTES = 32 << 20
# Pages that one request asks for at most.
_RUN = 16
_LOOK_AGAIN_S, _LEAST_AGE_S = 60.0, 600.0
# How long a file whose bytes are refused is left alone.
_DOUBTFUL_S = 30.0


Span = tuple[int, int]
"""Offset and length of some bytes."""


class NotAtHandError(MapError):
    """The bytes of `spans` are neither in memory nor on disk, not all of them."""

    def __init__(self, spans: Sequence[Span]) -> None:
        super().__init__(f"{sum(length for _, length in spans)} bytes are not at hand")
        self.spans = spans


def _pages(span: Span) -> range:
    offset, length = span
    return range(offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES))


@dataclass(frozen=True, slots=True)
class _First:
    """The first page and the edition of the file that it belongs to; `fresh` until `until_s`."""

    content: bytes
    edition: str
    fresh: bool
    until_s: float


def _edition(content: bytes, validators: Validators) -> str:
    """Tells a file from the one that replaced it under the same address."""
    said = validators.etag or validators.last_modified
    return hashlib.sha256(content if said is None else said.encode()).hexdigest()[:16]


class RemoteFile:
    """Bytes of the file at the spec's URL. Pages are of one edition: a file replaced on the server is read anew.

    `fetches` grows with every request that brought pages.
    """

    def __init__(self, spec: SourceSpec, fetcher: Fetcher, cache: DiskCache | None, clock: Callable[[], float]) -> None:
        self._spec, self._fetcher, self._cache, self._clock = spec, fetcher, cache, clock
        self._pages: MemoryCache[tuple[str, int], bytes] = MemoryCache(_MEMORY_BYTES)
        self._first: _First | None = None
        self._opening = threading.Lock()
        self.fetches = 0

    def edition(self) -> str | None:
        """Names the content at hand; None when nothing is."""
        first = self._first_at_hand()
        return None if first is None else first.edition

    def is_fresh(self) -> bool:
        """Whether the server has vouched for the edition lately."""
        first = self._first_at_hand()
        return first is not None and first.fresh

    def read(self, offset: int, length: int) -> bytes:
        """The bytes, fewer where the file ends. NotAtHandError where they would have to be fetched."""
        found = []
        for page in _pages((offset, length)):
            content = self._page(page)
            if content is None:
                raise NotAtHandError([(offset, length)])
            found.append(content)
            if len(content) < PAGE_BYTES:
                break
        start = offset % PAGE_BYTES
        return b"".join(found)[start : start + length]

    def open(self, deadline_s: float) -> None:
        """Bring the first page to hand, or have it confirmed. Raises FetchError."""
        with self._opening:
            if self.is_fresh():
                return
            answer = self._fetcher.get_range(self._spec.url, 0, PAGE_BYTES, deadline_s=deadline_s)
            age_s = max(_LEAST_AGE_S, self._spec.max_age_s if answer.max_age_s is None else answer.max_age_s)
            if self._cache is not None and answer.may_store:
                self._cache.put(self._spec.source_id, "0", answer.content, answer.validators, age_s)
            edition = _edition(answer.content, answer.validators)
            self._first = _First(answer.content, edition, True, self._clock() + age_s)

    def require(self, spans: Sequence[Span]) -> None:
        """NotAtHandError unless all of them can be read."""
        if any(self._page(page) is None for span in spans for page in _pages(span)):
            raise NotAtHandError(spans)

    def fetch(self, spans: Sequence[Span], deadline_s: float) -> None:
        """Bring bytes to hand. Raises FetchError, also when the file was replaced meanwhile.

        MapError for more bytes than memory holds: the first would be gone when the last one comes.
        """
        size = sum(length for _, length in spans)
        if size > _MEMORY_BYTES:
            raise MapError(
                f"{self._spec.name} keeps {size} bytes together, {_MEMORY_BYTES} can be held; make the file anew in "
                "smaller blocks: gdal_translate -of COG"
            )
        until_s = self._clock() + deadline_s
        self.open(deadline_s)
        pages = sorted({page for span in spans for page in _pages(span)})
        lacking = [page for page in pages if self._page(page) is None]
        while lacking:
            run = 1
            while run < min(_RUN, len(lacking)) and lacking[run] == lacking[0] + run:
                run += 1
            self._fetch_run(lacking[0], run, max(until_s - self._clock(), 0.1))
            lacking = lacking[run:]

    def _fetch_run(self, first: int, count: int, deadline_s: float) -> None:
        try:
            answer = self._fetcher.get_range(
                self._spec.url, first * PAGE_BYTES, count * PAGE_BYTES, deadline_s=deadline_s
            )
        except FetchError as error:
            if error.cause != "refused":
                raise
            # A shorter file is there now, perhaps: its head will tell.
            self._doubt()
            raise FetchError("server", str(error), _DOUBTFUL_S) from None
        edition = self._require_same(answer)
        self.fetches += 1
        for index in range(count):
            content = answer.content[index * PAGE_BYTES : (index + 1) * PAGE_BYTES]
            self._pages.put((edition, first + index), content, len(content) + 200)
            if self._cache is not None and answer.may_store:
                key = f"{edition}/{first + index}"
                self._cache.put(self._spec.source_id, key, content, Validators(), self._spec.max_age_s)

    def _require_same(self, answer: Fetched) -> str:
        first = self._first_at_hand()
        assert first is not None
        said = bool(answer.etag or answer.last_modified)
        if said and _edition(b"", answer.validators) != first.edition:
            self._doubt()
            raise FetchError("server", f"the file of {self._spec.name} was replaced while it was read", 1.0)
        return first.edition

    def _doubt(self) -> None:
        """Have the head confirmed before anything else is read."""
        first = self._first
        if first is not None:
            self._first = replace(first, fresh=False, until_s=self._clock() + _LOOK_AGAIN_S)

    def _page(self, page: int) -> bytes | None:
        first = self._first_at_hand()
        if first is None or page == 0:
            return None if first is None else first.content
        content = self._pages.get((first.edition, page))
        if content is None and self._cache is not None:
            cached = self._cache.get(self._spec.source_id, f"{first.edition}/{page}")
            content = None if cached is None else cached.content
            if content is not None:
                self._pages.put((first.edition, page), content, len(content) + 200)
        return content

    def _first_at_hand(self) -> _First | None:
        first = self._first
        if first is not None and self._clock() < first.until_s:
            return first
        cached: Cached | None = None if self._cache is None else self._cache.get(self._spec.source_id, "0")
        if cached is not None and cached.content is not None:
            until_s = self._clock() + _LOOK_AGAIN_S
            edition = _edition(cached.content, cached.validators)
            self._first = _First(cached.content, edition, cached.fresh, until_s)
        elif first is not None:
            self._doubt()
        return self._first
