# SPDX-License-Identifier: Apache-2.0
"""Messages of a drive in the order of their header stamps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from geodistill_core.bags.messages import stamp_ns
from geodistill_core.bags.source import BagSource, RawMessage
from geodistill_core.bags.topics import StreamKind

REORDER_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class DriveEvent:
    """One message: its stamp, what it is used for, the encoded bytes and the decoded message."""

    stamp_ns: int
    kind: StreamKind
    raw: RawMessage
    message: Any = field(repr=False)


def recorded_events(source: BagSource, topics: dict[StreamKind, str]) -> Iterator[DriveEvent]:
    """Decoded messages of the drive's streams in recording order."""
    kinds = {topic: kind for kind, topic in topics.items()}
    for raw in source.messages(list(kinds)):
        message = source.decode(raw)
        yield DriveEvent(stamp_ns(message.header), kinds[raw.topic], raw, message)


def by_stamp(events: Iterable[DriveEvent]) -> Iterator[DriveEvent]:
    """Sort recorded events by stamp within a sliding second; at equal stamps an image comes last.

    An event that arrives more than a second behind the newest stamp passes at once: whoever consumes it sees
    a stamp that goes backwards, as a live subscriber would.
    """
    heap: list[tuple[int, bool, int, DriveEvent]] = []
    newest_ns = 0
    for number, event in enumerate(events):
        heapq.heappush(heap, (event.stamp_ns, event.kind is StreamKind.IMAGE, number, event))
        newest_ns = max(newest_ns, event.stamp_ns)
        while heap[0][0] < newest_ns - REORDER_NS:
            yield heapq.heappop(heap)[3]
            if not heap:
                break
    while heap:
        yield heapq.heappop(heap)[3]
