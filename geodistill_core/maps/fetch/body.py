# SPDX-License-Identifier: Apache-2.0
"""Bodies, read no further than their limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from geodistill_core.maps.fetch.results import FetchError

_GZIP_OR_ZLIB = 47


class _Inflater:
    """Unpacks gzip and zlib, one member after the other, never more than asked for."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_OR_ZLIB)

    def unpack(self, packed: bytes, most: int) -> bytes:
        """What `packed` adds to the body, at most `most` bytes of it."""
        out = bytearray()
        while packed and len(out) < most:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP_OR_ZLIB)
            out += self._member.decompress(packed, most - len(out))
            packed = self._member.unconsumed_tail or self._member.unused_data
        return bytes(out)

    @property
    def is_whole(self) -> bool:
        return self._member.eof


def read_body(chunks: Iterable[bytes], headers: dict[str, str], limit: int) -> bytes:
    """The body, unpacked if it is packed. Raises FetchError: "too_large" beyond `limit` bytes, "server" if broken."""
    told = _told(headers)
    if told > limit:
        raise _too_large(f"{told} bytes", limit)
    packing = headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise FetchError("server", f"the answer is packed with {packing[:40]!r}, which was not asked for")
    inflater = None if packing in ("identity", "") else _Inflater()
    body, raw = bytearray(), 0
    try:
        for chunk in chunks:
            raw += len(chunk)
            body += chunk if inflater is None else inflater.unpack(chunk, limit + 1 - len(body))
            if max(len(body), raw) > limit:
                raise _too_large("more", limit)
    except zlib.error as error:
        raise FetchError("server", f"the answer's {packing} packing is damaged: {error}") from error
    if inflater is not None and not inflater.is_whole:
        raise FetchError("server", f"the answer's {packing} packing ends too early")
    return bytes(body)


def read_small(chunks: Iterable[bytes], headers: dict[str, str], limit: int) -> bytes:
    """The body as it is packed, read to its end so that the connection can be used again; b"" beyond `limit` bytes."""
    body = bytearray()
    for chunk in chunks if _told(headers) <= limit else ():
        body += chunk
        if len(body) > limit:
            return b""
    return bytes(body)


def _told(headers: dict[str, str]) -> int:
    """The length that the server announces, 0 where it announces none."""
    told = headers.get("content-length", "")
    return int(told) if told.isdecimal() and len(told) < 20 else 0


def _too_large(size: str, limit: int) -> FetchError:
    return FetchError(
        "too_large", f"the answer holds {size}, and {limit} bytes are the limit; this is no tile of the source's size"
    )
