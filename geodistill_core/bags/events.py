# SPDX-License-Identifier: Apache-2.0
"""Messages of a drive in the order of their header stamps."""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from geodistill_core.bags.source import BagSource, RawMessage
from geodistill_core.bags.stamps import REORDER_NS
from geodistill_core.bags.topics import StreamKind
from geodistill_core.errors import BagError

STAMP_WILD = "stamp_wild"
UNDECODABLE = "undecodable"
_STAMP_END = 12


@dataclass(frozen=True, slots=True)
class DriveEvent:
    """One message: its stamp, what it is used for, the encoded bytes and the decoded message.

    `fault` says why it is of no use: a stamp that fits nowhere, or, in a bag that is being salvaged, bytes that do
    not fit its type (then `message` is None).
    """

    stamp_ns: int
    kind: StreamKind
    raw: RawMessage
    message: Any = field(repr=False)
    fault: str | None = None


def header_stamp_ns(cdr: bytes) -> int:
    """Stamp of an encoded message that starts with `std_msgs/Header`; 0 where it is too short to have one."""
    if len(cdr) < _STAMP_END:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if cdr[1] & 1 else ">iI", cdr, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def by_topic(topics: Mapping[StreamKind, str]) -> dict[str, tuple[StreamKind, ...]]:
    """The streams that each topic serves: an odometry may be the motion and the truth."""
    return {topic: tuple(kind for kind in topics if topics[kind] == topic) for topic in topics.values()}


def recorded_events(
    source: BagSource, topics: Mapping[StreamKind, str], wild: Mapping[str, Collection[int]] | None = None
) -> Iterator[DriveEvent]:
    """Decoded messages of the drive's streams in recording order; `wild` counts a topic's messages from 0."""
    kinds = by_topic(topics)
    numbers: Counter[str] = Counter()
    for raw in source.messages(list(kinds)):
        number = numbers[raw.topic]
        numbers[raw.topic] += 1
        stamp_ns = header_stamp_ns(raw.cdr)
        # a stamp of zero has a name of its own further on
        fault = STAMP_WILD if wild and stamp_ns > 0 and number in wild.get(raw.topic, ()) else None
        try:
            message = source.decode(raw)
        except BagError:
            if source.salvage is None:
                raise
            message, fault = None, UNDECODABLE
        for kind in kinds[raw.topic]:
            yield DriveEvent(stamp_ns, kind, raw, message, fault)


def by_stamp(events: Iterable[DriveEvent]) -> Iterator[DriveEvent]:
    """Sort recorded events by stamp within a sliding second; at equal stamps an image comes last.

    An event that arrives more than a second behind the newest stamp passes at once: whoever consumes it sees
    a stamp that goes backwards, as a live subscriber would. One with a wild stamp keeps its place in the recording.
    """
    heap: list[tuple[int, bool, int, DriveEvent]] = []
    newest_ns = 0
    for number, event in enumerate(events):
        due_ns = newest_ns if event.fault == STAMP_WILD else event.stamp_ns
        heapq.heappush(heap, (due_ns, event.kind is StreamKind.IMAGE, number, event))
        newest_ns = max(newest_ns, due_ns)
        while heap[0][0] < newest_ns - REORDER_NS:
            yield heapq.heappop(heap)[3]
            if not heap:
                break
    while heap:
        yield heapq.heappop(heap)[3]
