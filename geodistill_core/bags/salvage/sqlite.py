# SPDX-License-Identifier: Apache-2.0
"""An SQLite recording read page by page, without the trees that lead to the pages and that damage cuts off.

Rows are told by their columns: SQLite's file format says how many bytes each has, and rosbag2 never deletes one.
There are no checksums; a row counts as readable when all of its bytes are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

from geodistill_core.bags.salvage.account import GapList
from geodistill_core.bags.salvage.files import CUT_OFF, mapped
from geodistill_core.bags.storage.parts import BagPart, Definition, RawMessage, TopicInfo
from geodistill_core.bags.storage.rosbags_part import refuse_unwritten
from geodistill_core.errors import BagError

_TABLE_LEAF = b"\x0d"
_FILE_HEADER_BYTES, _DEFAULT_PAGE_BYTES = 100, 4096
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
_MESSAGE_COLUMNS = 4

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a message lies: recording time, row number, topic, first byte of its cell."""

    log_ns: int
    row: int
    topic: int
    cell: int


class SalvagedSqlite(BagPart):
    """What is left of a .db3 file; see `SalvagedMcap` for its attributes.

    Raises:
        BagError: nothing of it is a message, or a write-ahead log waits to be merged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        refuse_unwritten(path)
        self._names: dict[int, tuple[str, str]] = {}
        self.definitions: dict[str, Definition] = {}
        entries: dict[int, Entry] = {}
        with mapped(path) as data:
            pages = Pages(data)
            for cell, row_number in pages.cells():
                row = pages.row(cell)
                if row is not None and row_number <= len(data):
                    self._take(entries, row_number, cell, row)
            lost_bytes = pages.promised_bytes - len(data)
        self._entries = sorted(entries.values(), key=lambda entry: (entry.log_ns, entry.row))
        self._close(list(entries.values()), path.name, lost_bytes)

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """See `BagPart.messages`."""
        with mapped(self.path) as data:
            pages = Pages(data)
            for entry in self._entries:
                name, msgtype = self._names.get(entry.topic, ("", ""))
                if name in topics:
                    row = pages.row(entry.cell)
                    if row is not None:
                        yield RawMessage(name, msgtype, entry.log_ns, row[3])

    def _take(self, entries: dict[int, Entry], number: int, cell: int, row: Row) -> None:
        """A row of messages, topics or message_definitions; anything else is of no use."""
        kinds = tuple(type(value) for value in row)
        if kinds == (type(None), int, int, bytes):
            entries.setdefault(number, Entry(row[2], number, row[1], cell))
        elif kinds[1:4] == (str, str, str):
            if row[1].startswith("/"):
                self._names.setdefault(number, (row[1], row[2]))
            elif row[2] in ("ros2msg", "ros2idl"):
                self.definitions.setdefault(row[1], Definition(row[2], row[3]))

    def _close(self, entries: list[Entry], name: str, lost_bytes: int) -> None:
        """Rows are numbered from one without a hole, so a hole is a loss."""
        gaps, last, nameless = GapList(name), 0, 0
        for entry in sorted(entries, key=lambda entry: entry.row):
            if entry.row > last + 1:
                gaps.add("rows are missing or cut off", 0, messages=entry.row - last - 1)
            gaps.message(entry.log_ns, entry.log_ns)
            nameless += entry.topic not in self._names
            last = entry.row
        if nameless:
            gaps.add("the definition of their topic is lost", 0, messages=nameless)
        if lost_bytes > 0:
            gaps.add(CUT_OFF, lost_bytes)
        self.gaps, self.expected = gaps.all(), None
        counts = Counter(entry.topic for entry in entries)
        self.topics: dict[str, TopicInfo] = {}
        for topic, (topic_name, msgtype) in self._names.items():
            known = self.topics.get(topic_name, TopicInfo(msgtype, 0))
            self.topics[topic_name] = TopicInfo(msgtype, known.messages + counts[topic])
        self.unverified = sum(info.messages for info in self.topics.values())
        if not self.unverified:
            raise BagError(f"{self.path} holds no message that can be read; record it again")
        self.start_ns, self.end_ns = self._entries[0].log_ns, self._entries[-1].log_ns


class Pages:
    """Cells of the table leaves of an SQLite file."""

    def __init__(self, data: mmap) -> None:
        self._data = data
        stated = int.from_bytes(data[16:18], "big")
        size = 65_536 if stated == 1 else stated
        self.size = size if size >= 512 and size & (size - 1) == 0 else _DEFAULT_PAGE_BYTES
        self._usable = self.size - (data[20] if data[20] <= self.size - 480 else 0)
        self.count = -(-len(data) // self.size)  # the last one may be cut off
        self.promised_bytes = int.from_bytes(data[28:32], "big") * self.size

    def cells(self) -> Iterator[tuple[int, int]]:
        """First byte and row number of every cell."""
        data = self._data
        for page in range(self.count):
            start = page * self.size
            head = start + (_FILE_HEADER_BYTES if page == 0 else 0)
            if data[head : head + 1] != _TABLE_LEAF:
                continue
            count = int.from_bytes(data[head + 3 : head + 5], "big")
            first = head + 8
            for at in range(first, min(first + 2 * count, start + self.size - 1), 2):
                offset = int.from_bytes(data[at : at + 2], "big")
                if first + 2 * count - start <= offset < self._usable:
                    cell = start + offset
                    number = _varint(data, _varint(data, cell)[1])[0]
                    yield cell, number

    def row(self, cell: int) -> Row | None:
        """The columns of a cell; None where some of its bytes are not there."""
        length, at = _varint(self._data, cell)
        _, at = _varint(self._data, at)
        payload = self._payload(length, at)
        return None if payload is None else _columns(payload)

    def _payload(self, length: int, at: int) -> bytes | None:
        """Local bytes, then the chain of overflow pages (SQLite file format, section 1.6)."""
        usable, data = self._usable, self._data
        if length > len(data):
            return None
        if length <= usable - 35:
            return _whole(data[at : at + length], length)
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= usable - 35 else least
        pieces, left = [data[at : at + local]], length - local
        page = int.from_bytes(data[at + local : at + local + 4], "big")
        while left > 0:
            if not 2 <= page <= self.count:
                return None
            start, size = (page - 1) * self.size, min(left, usable - 4)
            pieces.append(data[start + 4 : start + 4 + size])
            page, left = int.from_bytes(data[start : start + 4], "big"), left - size
        return _whole(b"".join(pieces), length)


def _whole(content: bytes, length: int) -> bytes | None:
    return content if len(content) == length else None


def _columns(payload: bytes) -> Row | None:
    """The values of a record: None, int, str or bytes; None for one that is malformed or has a float."""
    end, at = _varint(payload, 0)
    kinds = []
    while at < end <= len(payload):
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        if kind == 0:
            values.append(None)
            continue
        size = _INTEGER_BYTES.get(kind, (kind - 12) // 2)
        if size < 0 or at + size > len(payload):
            return None
        content = payload[at : at + size]
        at += size
        if kind in _INTEGER_BYTES:
            values.append(kind - 8 if size == 0 else int.from_bytes(content, "big", signed=True))
        else:
            values.append(content if kind % 2 == 0 else content.decode("utf-8", "replace"))
    return tuple(values) if len(values) >= _MESSAGE_COLUMNS and at == len(payload) else None


def _varint(data: mmap | bytes, at: int) -> tuple[int, int]:
    """SQLite's big-endian variable-length integer, and where it ends."""
    value = 0
    for byte in data[at : at + 8]:
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return (value << 8 | data[at], at + 1) if at < len(data) else (value, at)
