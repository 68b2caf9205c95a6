# SPDX-License-Identifier: Apache-2.0
"""An MCAP file read record by record: damaged chunks are skipped, and what is there of the last one is read."""

from __future__ import annotations

import heapq
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from mmap import mmap
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.records import Channel, Schema

from geodistill_core.bags.salvage.account import GapList
from geodistill_core.bags.salvage.files import CUT_OFF, mapped
from geodistill_core.bags.salvage.records import (
    CHANNEL,
    DATA_END,
    MESSAGE,
    MESSAGE_HEAD,
    SCHEMA,
    SUMMARY,
    BadChunkError,
    ChunkHead,
    chunk_at,
    decompressed,
    next_record,
    record_at,
    records,
    unpacked,
)
from geodistill_core.bags.storage.mcap_part import FOOTER, MAGIC, definitions_of, read_summary, topic_infos
from geodistill_core.bags.storage.parts import BagPart, RawMessage
from geodistill_core.errors import BagError

RUBBISH = "no record"


Definitions = dict[int, dict[int, Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A readable chunk, or a run of messages outside chunks: the span of its messages and of its bytes."""

    start_ns: int
    end_ns: int
    at: int
    end: int
    chunk: bool


class SalvagedMcap(BagPart):
    """What is left of an MCAP file. `gaps` lists what is not; `finished` says whether its recorder was (it ends as
    it should), and `expected` counts the messages by topic as its index, where that is intact, promises them.

    Raises:
        BagError: it is damaged and nothing of it is a message.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            index, self.finished = read_summary(path), True
        except BagError:
            index, self.finished = None, False
        self.unverified = 0
        self._gaps = GapList(path.name)
        self._known: Definitions = {SCHEMA: dict(index.schemas), CHANNEL: dict(index.channels)} if index else _none()
        self._doubtful = _none()
        self._counts: Counter[int] = Counter()
        self._pieces: list[Piece] = []
        with mapped(path) as data:
            self._walk(data)
        self._close(index)

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """See `BagPart.messages`."""
        wanted = {number: channel.topic for number, channel in self._channels.items() if channel.topic in topics}
        waiting: list[tuple[int, int, int, RawMessage]] = []
        with mapped(self.path) as data:
            for piece in self._pieces:
                while waiting and waiting[0][:2] < (piece.start_ns, piece.at):
                    yield heapq.heappop(waiting)[3]
                for number, (channel, log_ns, cdr) in enumerate(_messages(data, piece)):
                    if channel in wanted:
                        topic = wanted[channel]
                        message = RawMessage(topic, self.topics[topic].msgtype, log_ns, cdr)
                        heapq.heappush(waiting, (log_ns, piece.at, number, message))
            while waiting:
                yield heapq.heappop(waiting)[3]

    def _walk(self, data: mmap) -> None:
        stop = len(data) if not self.finished else _index_start(data)
        at = len(MAGIC) if data[: len(MAGIC)] == MAGIC else self._skip(data, 0, stop)
        while at < stop:
            head, record = chunk_at(data, at), record_at(data, at)
            if head is not None:
                self._take_chunk(data, head)
                at = head.end
            elif record is None:
                at = self._skip(data, at, stop)
            elif record[0] == DATA_END:
                self._check_runs(data, at, int.from_bytes(data[at + 9 : at + 13], "little"))
                if not self.finished:
                    self._gaps.add("the index is damaged", len(data) - record[1], messages=0)
                    self._learn_from_index(data, record[1])
                return
            else:
                self._take_record(data, at, *record)
                at = record[1]
        self._check_runs(data, at, 0)
        if not self.finished:
            self._gaps.add(CUT_OFF, 0)

    def _skip(self, data: mmap, at: int, stop: int) -> int:
        """To the next record behind rubbish."""
        found = min(stop, next_record(data, at + 1))
        self._gaps.add(CUT_OFF if found == len(data) else RUBBISH, found - at)
        return found

    def _take_chunk(self, data: mmap, head: ChunkHead) -> None:
        try:
            content = unpacked(data, head)
        except BadChunkError as error:
            self._gaps.add(str(error), min(head.end, len(data)) - head.at)
            self._learn_from(decompressed(data, head)[0], self._doubtful)
            return
        stamps = []
        for opcode, start, _ in records(content):
            if opcode == MESSAGE:
                channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(content, start)
                self._counts[channel] += 1
                stamps.append(log_ns)
        self._learn_from(content, self._known)
        if stamps:
            self._pieces.append(Piece(min(stamps), max(stamps), head.at, head.end, True))
            self._gaps.message(min(stamps), max(stamps))
        cut = head.end > len(data)
        self.unverified += len(stamps) if cut or not head.checksum else 0
        if cut:
            self._gaps.add(CUT_OFF, head.end - len(data))

    def _take_record(self, data: mmap, at: int, opcode: int, end: int) -> None:
        start = at + 9
        if opcode != MESSAGE:
            self._learn(opcode, data[start:end], self._known)
            return
        channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(data, start)
        self._counts[channel] += 1
        self._gaps.message(log_ns, log_ns)
        last = self._pieces[-1] if self._pieces else None
        if last is not None and not last.chunk and last.end == at:
            span = min(last.start_ns, log_ns), max(last.end_ns, log_ns)
            self._pieces[-1] = replace(last, start_ns=span[0], end_ns=span[1], end=end)
        else:
            self._pieces.append(Piece(log_ns, log_ns, at, end, False))

    def _learn_from(self, content: bytes, known: Definitions) -> None:
        for opcode, start, end in records(content):
            if opcode != MESSAGE:
                self._learn(opcode, content[start:end], known)

    def _learn(self, opcode: int, content: bytes, known: Definitions) -> None:
        """Keep a schema or channel; one that cannot be read leaves its messages without a topic, which is counted."""
        if opcode not in known:
            return
        stream: Any = ReadDataStream(BytesIO(content))
        try:
            entry: Any = Schema.read(stream) if opcode == SCHEMA else Channel.read(stream)
        except Exception:  # mcap raises what its parsing happens to hit
            return
        known[opcode].setdefault(entry.id, entry)

    def _learn_from_index(self, data: mmap, at: int) -> None:
        """A damaged index still repeats definitions, and so may a chunk that fails its checksum."""
        while at < len(data) and (record := record_at(data, at, SUMMARY)):
            self._learn(record[0], data[at + 9 : record[1]], self._doubtful)
            at = record[1]

    def _check_runs(self, data: mmap, end: int, checksum: int) -> None:
        """Messages outside chunks are covered by one checksum over the file up to its last record, if by any."""
        runs = [piece for piece in self._pieces if not piece.chunk]
        if not runs:
            return
        if checksum and zlib.crc32(memoryview(data)[:end]) == checksum:
            return
        self.unverified += sum(1 for piece in runs for _ in _messages(data, piece))
        if checksum:
            self._gaps.add("the file fails its checksum: messages outside chunks may be wrong", 0, messages=0)

    def _close(self, index: Any) -> None:
        """What the walk found, as a part of a bag. Names that no checksum covers serve where others lack."""
        schemas, self._channels = ({**self._doubtful[kind], **self._known[kind]} for kind in (SCHEMA, CHANNEL))
        nameless = sum(count for channel, count in self._counts.items() if channel not in self._channels)
        if nameless:
            self._gaps.add("the definition of their topic is lost", 0, messages=nameless)
        self._pieces.sort(key=lambda piece: (piece.start_ns, piece.at))
        self.topics = topic_infos(self._channels, schemas, self._counts)
        self.definitions = definitions_of(self._known[SCHEMA])
        statistics = index.statistics if index else None
        self.expected: dict[str, int] | None = None
        if statistics is not None:
            promised = topic_infos(self._channels, schemas, statistics.channel_message_counts)
            self.expected = {topic: info.messages for topic, info in promised.items()}
        self.gaps = self._gaps.all(statistics.message_end_time if statistics else None)
        if self.gaps and not any(info.messages for info in self.topics.values()):
            raise BagError(f"{self.path} holds no message that can be read ({self.gaps[0].cause}); record it again")
        self.start_ns = self._pieces[0].start_ns if self._pieces else 0
        self.end_ns = max((piece.end_ns for piece in self._pieces), default=0)


def _none() -> Definitions:
    return {SCHEMA: {}, CHANNEL: {}}


def _messages(data: mmap, piece: Piece) -> Iterator[tuple[int, int, bytes]]:
    """Channel, recording time and content of the messages of a piece."""
    if piece.chunk:
        head = chunk_at(data, piece.at)
        content = unpacked(data, head) if head else b""
        for opcode, start, end in records(content):
            if opcode == MESSAGE:
                channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(content, start)
                yield channel, log_ns, content[start + MESSAGE_HEAD.size : end]
        return
    at = piece.at
    while at < piece.end and (record := record_at(data, at)):
        start = at + 9
        channel, _, log_ns, _ = MESSAGE_HEAD.unpack_from(data, start)
        yield channel, log_ns, data[start + MESSAGE_HEAD.size : record[1]]
        at = record[1]


def _index_start(data: mmap) -> int:
    """Where the index of an intact file starts, or its footer where it has none."""
    footer = len(data) - FOOTER.size
    start: int = FOOTER.unpack_from(data, footer)[2]
    return start or footer
