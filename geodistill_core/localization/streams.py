# SPDX-License-Identifier: Apache-2.0
"""A short, bounded history of one sensor."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

HISTORY_LENGTH = 1024


class Stamped(Protocol):
    """Anything with a stamp in nanoseconds."""

    @property
    def stamp_ns(self) -> int:
        """When it was measured."""
        ...


R = TypeVar("R", bound=Stamped)


class Stream(Generic[R]):
    """The newest `HISTORY_LENGTH` readings, stamps strictly increasing; refusals are counted."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.readings: deque[R] = deque(maxlen=HISTORY_LENGTH)
        self.dropped: Counter[str] = Counter()

    def push(self, reading: R) -> bool:
        """Append a reading; False where its stamp is zero or not newer than the last one's."""
        if reading.stamp_ns <= 0:
            return self.drop("stamp_zero")
        newest_ns = self.newest_ns
        if reading.stamp_ns <= newest_ns:
            return self.drop("stamp_repeated" if reading.stamp_ns == newest_ns else "stamp_backwards")
        self.readings.append(reading)
        return True

    def drop(self, reason: str) -> bool:
        """Count a refused reading; always False, the caller's answer."""
        self.dropped[f"{self.name}.{reason}"] += 1
        return False

    @property
    def newest_ns(self) -> int:
        """Stamp of the last reading, 0 where there is none."""
        return self.readings[-1].stamp_ns if self.readings else 0

    def around(self, stamp_ns: int) -> tuple[R | None, R | None]:
        """The last reading at or before the stamp and the first after it."""
        after: R | None = None
        for reading in reversed(self.readings):
            if reading.stamp_ns <= stamp_ns:
                return reading, after
            after = reading
        return None, after

    def covering(self, from_ns: int, to_ns: int) -> tuple[R, ...]:
        """The readings within [from_ns, to_ns], with the last one before and the first one after."""
        found: list[R] = []
        for reading in reversed(self.readings):
            if reading.stamp_ns > to_ns:
                found = [reading]
                continue
            found.append(reading)
            if reading.stamp_ns < from_ns:
                break
        return tuple(reversed(found))

    def before(self, stamp_ns: int) -> Iterator[R]:
        """Readings strictly before the stamp, newest first."""
        return (reading for reading in reversed(self.readings) if reading.stamp_ns < stamp_ns)
