# SPDX-License-Identifier: Apache-2.0
"""A file by HTTP byte ranges, as COG and PMTiles readers ask for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from geodistill_core.errors import MapError
from geodistill_core.maps.serve.http import Reply, Request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = 1 << 20
# Longer ranges are sent as they are read, which ends the connection.
_WHOLE_BYTES = 16 << 20


def _span(header: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for what no single range of the file is."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(size - int(match[2]), 0), size
    return int(match[1]), min(int(match[2]) + 1, size) if match[2] else size


def _parts(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        for at in range(start, stop, _CHUNK):
            yield file.read(min(_CHUNK, stop - at))


def file_reply(path: Path, request: Request) -> Reply:
    """The whole file, the range asked for (206), 304 where it is unchanged, or 416. MapError: it cannot be read."""
    try:
        stat = path.stat()
    except OSError as error:
        raise MapError(f"{path} cannot be served: {error.strerror}") from error
    tag = f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    media_type = "application/octet-stream"
    if request.headers.get("if-none-match") == tag:
        return Reply(b"", media_type, 304, headers)
    header = request.headers.get("range", "")
    if not header or request.headers.get("if-range", tag) != tag:
        whole = {**headers, "Content-Length": str(stat.st_size)}
        return Reply(_parts(path, 0, stat.st_size), media_type, 200, whole)
    span = _span(header, stat.st_size)
    if span is None or span[0] >= span[1]:
        return Reply(b"", media_type, 416, {**headers, "Content-Range": f"bytes */{stat.st_size}"})
    shown = {"Content-Range": f"bytes {span[0]}-{span[1] - 1}/{stat.st_size}"}
    if span[1] - span[0] > _WHOLE_BYTES:
        shown["Content-Length"] = str(span[1] - span[0])
        return Reply(_parts(path, *span), media_type, 206, {**headers, **shown})
    return Reply(b"".join(_parts(path, *span)), media_type, 206, {**headers, **shown})
