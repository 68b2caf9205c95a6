# SPDX-License-Identifier: Apache-2.0
"""MCAP records in damaged files: what may be one, what a chunk holds, where to go on after rubbish."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

import lz4.frame
import zstandard

HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX = 1, 2, 3, 4, 5, 6, 7
ATTACHMENT, METADATA, DATA_END, LAST_KNOWN, PRIVATE = 9, 12, 15, 15, 0x80
MAX_CHUNK_BYTES = 1 << 30

_RECORD = struct.Struct("<BQ")
# First and last time, size and checksum of the content, length of the compression's name
_CHUNK_START = struct.Struct("<QQQII")
MESSAGE_HEAD = struct.Struct("<HIQQ")
DATA = frozenset((HEADER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, ATTACHMENT, METADATA, DATA_END))
SUMMARY = frozenset(range(1, LAST_KNOWN + 1))
_COMPRESSIONS = (b"", b"lz4", b"zstd")
_READ_BYTES = 1 << 22
# A chunk's compression sits 37 bytes behind its opcode; a message is shorter than 4 GiB.
_CANDIDATE = re.compile(rb"(?=\x06.{8}.{28}(?:\0\0\0\0|\x03\0\0\0lz4|\x04\0\0\0zstd)|\x05.{4}\0\0\0\0.{22})", re.DOTALL)


class BadChunkError(ValueError):
    """A chunk whose content is not what its recorder wrote."""


@dataclass(frozen=True, slots=True)
class ChunkHead:
    """Where a chunk lies and what it says of itself."""

    at: int
    end: int
    body: int
    compression: bytes
    size: int
    checksum: int


def chunk_at(data: mmap, at: int) -> ChunkHead | None:
    """The chunk that starts here, told by its inner lengths agreeing with the outer one; its opcode may be wrong."""
    start = at + _RECORD.size
    body = start + _CHUNK_START.size
    if body + 8 > len(data):
        return None
    length = _RECORD.unpack_from(data, at)[1]
    _, _, size, checksum, name_length = _CHUNK_START.unpack_from(data, start)
    if name_length > 4 or body + name_length + 8 > len(data):
        return None
    compression = data[body : body + name_length]
    (stored,) = struct.unpack_from("<Q", data, body + name_length)
    body += name_length + 8
    if compression not in _COMPRESSIONS or start + length != body + stored:
        return None
    return ChunkHead(at, body + stored, body, compression, size, checksum)


def unpacked(data: mmap, head: ChunkHead) -> bytes:
    """The content of a chunk, or of a chunk that was cut off what is there of it, which no checksum covers.

    Raises:
        BadChunkError: it cannot be decompressed, or is not what its checksum says.
    """
    if head.size > MAX_CHUNK_BYTES:
        raise BadChunkError(f"chunk claims {head.size} bytes, over {MAX_CHUNK_BYTES}")
    content, whole = decompressed(data, head)
    if head.end > len(data):
        return content
    if not whole:
        raise BadChunkError("chunk cannot be decompressed")
    if len(content) != head.size:
        raise BadChunkError(f"chunk holds {len(content)} bytes and not {head.size}")
    if head.checksum and zlib.crc32(content) != head.checksum:
        raise BadChunkError("chunk fails its checksum")
    return content


def decompressed(data: mmap, head: ChunkHead) -> tuple[bytes, bool]:
    """As much of a chunk as can be decompressed, at most a byte more than it says it holds; whether all went well."""
    stored, room = data[head.body : min(head.end, len(data))], min(head.size, MAX_CHUNK_BYTES) + 1
    pieces: list[bytes] = []
    try:
        if head.compression == b"":
            pieces.append(stored[:room])
        elif head.compression == b"lz4":
            pieces.append(lz4.frame.LZ4FrameDecompressor().decompress(stored, max_length=room))
        else:
            with zstandard.ZstdDecompressor().stream_reader(stored) as reader:
                while room and (piece := reader.read(min(room, _READ_BYTES))):
                    pieces.append(piece)
                    room -= len(piece)
    except (zstandard.ZstdError, RuntimeError, MemoryError):
        return b"".join(pieces), False
    return b"".join(pieces), True


def records(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Opcode, first and last byte of every whole record in a chunk's content."""
    at = 0
    while at + _RECORD.size <= len(content):
        opcode, length = _RECORD.unpack_from(content, at)
        start = at + _RECORD.size
        if start + length > len(content):
            return
        yield opcode, start, start + length
        at = start + length


def record_at(data: mmap, at: int, section: frozenset[int] = DATA) -> tuple[int, int] | None:
    """Opcode and end of the record outside chunks that starts here; None where this section can have none."""
    start = at + _RECORD.size
    if start > len(data):
        return None
    opcode, length = _RECORD.unpack_from(data, at)
    end = start + length
    if end > len(data) or (opcode not in section and opcode < PRIVATE):
        return None
    fits = {
        MESSAGE: length >= MESSAGE_HEAD.size,
        MESSAGE_INDEX: length >= 6 and length == 6 + int.from_bytes(data[start + 2 : start + 6], "little"),
        DATA_END: length == 4,
    }.get(opcode, True)
    follows = end == len(data) or 0 < data[end] <= LAST_KNOWN or data[end] >= PRIVATE
    return (opcode, end) if fits and follows else None


def next_record(data: mmap, at: int) -> int:
    """Where the next chunk or message outside chunks starts, from here on; the length of the file for none."""
    for found in _CANDIDATE.finditer(data, at):
        here = found.start()
        if chunk_at(data, here) is not None:
            return here
        record = record_at(data, here)
        if data[here] == MESSAGE and record is not None and (record[1] == len(data) or record_at(data, record[1])):
            return here
    return len(data)
