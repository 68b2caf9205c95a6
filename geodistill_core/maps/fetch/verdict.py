# SPDX-License-Identifier: Apache-2.0
"""What an answer means: a tile, no change, no imagery there, or a failure that names its remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from geodistill_core.maps.fetch.exchange import Answer
from geodistill_core.maps.fetch.freshness import max_age_s, may_store, retry_after_s
from geodistill_core.maps.fetch.picture import holds_imagery
from geodistill_core.maps.fetch.results import Absent, Fetched, FetchError, Unchanged

if TYPE_CHECKING:
    from geodistill_core.maps.spec import SourceSpec

_NOTHING_THERE = {204, 404, 410}  # and 400 with the exception that WMTS has for it
_FORBIDDEN = {401, 402, 403, 451}
_SHORTEST_ABSENCE_S, _LONGEST_ABSENCE_S = 60.0, 86_400.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class RateLimitedError(FetchError):
    """The server asks to be left alone for `pause_s` seconds (None: it does not say how long)."""

    def __init__(self, status: int, pause_s: float | None) -> None:
        super().__init__("rate_limited", f"too many requests (status {status})", pause_s or 5.0)
        self.pause_s = pause_s


def _fetched(answer: Answer) -> Fetched:
    headers = answer.headers
    return Fetched(
        answer.content,
        headers.get("etag"),
        headers.get("last-modified"),
        max_age_s(headers),
        headers.get("content-type", "").partition(";")[0].strip().lower(),
        may_store(headers),
    )


def judge_tile(answer: Answer, spec: SourceSpec, *, conditional: bool) -> Fetched | Unchanged | Absent:
    """The answer to a request for a tile, `conditional` if validators went with it. Raises FetchError."""
    if answer.status == 304 and conditional:
        return Unchanged(max_age_s(answer.headers))
    if answer.status in _NOTHING_THERE or (answer.status == 400 and b"TileOutOfRange" in answer.content):
        said = max_age_s(answer.headers)
        age_s = _LONGEST_ABSENCE_S if said is None else min(max(said, _SHORTEST_ABSENCE_S), _LONGEST_ABSENCE_S)
        return Absent(age_s)
    if answer.status != 200:
        raise _failure(answer, spec)
    fetched = _fetched(answer)
    if not holds_imagery(answer.content, fetched.media_type, spec.tile_pixels, spec.no_imagery_sha256):
        return Absent(_LONGEST_ABSENCE_S)
    return fetched


def judge_range(answer: Answer, spec: SourceSpec, start: int, length: int) -> Fetched:
    """The answer to a request for bytes start .. start + length. Raises FetchError."""
    if answer.status == 200:
        raise FetchError("refused", "the server sends whole files only; it must serve byte ranges for this kind")
    if answer.status in _NOTHING_THERE:
        raise FetchError("refused", f"the file is not there (status {answer.status}); check the source's url")
    if answer.status == 416:
        raise FetchError("refused", f"the file ends before byte {start}; it has changed, or is no such archive")
    if answer.status != 206:
        raise _failure(answer, spec)
    said = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
    got = len(answer.content)
    whole = said is not None and (got == length or said.group(3) == str(start + got))
    if said is None or int(said.group(1)) != start or int(said.group(2)) != start + got - 1 or not whole:
        raise FetchError("server", f"bytes {start}..{start + length - 1} were asked for, and others came")
    return _fetched(answer)


def _failure(answer: Answer, spec: SourceSpec) -> FetchError:
    status = answer.status
    if status == 429 or (status == 503 and "retry-after" in answer.headers):
        return RateLimitedError(status, retry_after_s(answer.headers))
    if status == 407:
        return FetchError(
            "forbidden", "the proxy wants a user name and password (status 407); give both in HTTP_PROXY, HTTPS_PROXY"
        )
    if status in _FORBIDDEN:
        key = f"the key in {spec.key_env}" if spec.key_env else "whether the service needs a key (key_env)"
        return FetchError(
            "forbidden",
            f"the server refuses the request (status {status}); check {key}, the terms at {spec.terms_url} and "
            "user_agent_contact",
        )
    if status == 408 or status >= 500:
        return FetchError("server", f"the server has a problem of its own (status {status})", 5.0)
    return FetchError(
        "refused", f"the server does not understand the request (status {status}); check the source's url"
    )
