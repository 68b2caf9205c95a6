# SPDX-License-Identifier: Apache-2.0
"""What was lost of a damaged recording: by stretch, by topic, in messages and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

MAX_LISTED = 200


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of a file that could not be read.

    `from_ns` and `to_ns` are the recording times of the last message before it and the first after it, None at
    the ends of the recording. `messages` is how many were lost in it, None where nobody knows.
    """

    file: str
    cause: str
    bytes: int = 0
    from_ns: int | None = None
    to_ns: int | None = None
    messages: int | None = None

    @property
    def seconds(self) -> float | None:
        """How much time it may cover; None where an end is open."""
        if self.messages == 0:
            return 0.0
        if self.from_ns is None or self.to_ns is None:
            return None
        return max(0, self.to_ns - self.from_ns) * 1e-9


@dataclass(frozen=True)
class Salvage:
    """The account of one recording. `expected` counts messages by topic as the index or metadata.yaml promises
    them, None where neither survived; `unverified` messages were read without a checksum over them."""

    recovered: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] | None = None
    gaps: tuple[Gap, ...] = ()
    unverified: int = 0

    @property
    def damaged(self) -> bool:
        """Whether anything was wrong with the recording."""
        return bool(self.gaps) or bool(self.lost_messages)

    @property
    def lost_topics(self) -> dict[str, int] | None:
        """Lost messages by topic, None where unknown."""
        if self.expected is not None:
            missing = {topic: count - self.recovered.get(topic, 0) for topic, count in self.expected.items()}
            return {topic: count for topic, count in sorted(missing.items()) if count > 0}
        return {} if all(gap.messages == 0 for gap in self.gaps) else None

    @property
    def lost_messages(self) -> int | None:
        """Lost messages, None where unknown."""
        if self.lost_topics is not None:
            return sum(self.lost_topics.values())
        known = [gap.messages for gap in self.gaps if gap.messages is not None]
        return sum(known) if len(known) == len(self.gaps) else None

    @property
    def lost_seconds(self) -> float | None:
        """Time without messages, at most; None where it is unknown."""
        if self.lost_messages == 0:
            return 0.0
        known = [gap.seconds for gap in self.gaps if gap.seconds is not None]
        return sum(known) if len(known) == len(self.gaps) else None

    def to_json(self) -> dict[str, Any]:
        """The `salvaged` entry of a report: plain values, null for what is unknown."""
        return {
            "damaged": self.damaged,
            "messages": sum(self.recovered.values()),
            "unverified": self.unverified,
            "topics": dict(sorted(self.recovered.items())),
            "lost": {
                "messages": self.lost_messages,
                "seconds": self.lost_seconds,
                "bytes": sum(gap.bytes for gap in self.gaps),
                "topics": self.lost_topics,
            },
            "gaps": [
                {
                    "file": gap.file,
                    "cause": gap.cause,
                    "bytes": gap.bytes,
                    "from_s": None if gap.from_ns is None else gap.from_ns * 1e-9,
                    "to_s": None if gap.to_ns is None else gap.to_ns * 1e-9,
                    "messages": gap.messages,
                }
                for gap in self.gaps[:MAX_LISTED]
            ],
            "gaps_not_listed": max(0, len(self.gaps) - MAX_LISTED),
        }

    def lines(self) -> list[str]:
        """The account for people: the sum, then each stretch."""
        if not self.damaged:
            return [f"salvage: nothing is damaged, {sum(self.recovered.values())} messages read"]
        lost = "an unknown number of" if self.lost_messages is None else str(self.lost_messages)
        seconds = "an unknown time" if self.lost_seconds is None else f"up to {self.lost_seconds:.2f} s"
        lines = [f"salvage: {sum(self.recovered.values())} messages read, {lost} lost, {seconds}"]
        if self.unverified:
            lines.append(f"salvage: {self.unverified} of the messages read have no checksum over them")
        lines += [f"lost: {count} of {topic}" for topic, count in (self.lost_topics or {}).items()]
        lines += [f"lost: {_told(gap)}" for gap in self.gaps[:MAX_LISTED]]
        return lines


def _told(gap: Gap) -> str:
    begin = "the start" if gap.from_ns is None else f"{gap.from_ns * 1e-9:.3f}"
    end = "the end" if gap.to_ns is None else f"{gap.to_ns * 1e-9:.3f}"
    count = "" if gap.messages is None else f", {gap.messages} messages"
    return f"{gap.file} from {begin} to {end}: {gap.cause} ({gap.bytes} bytes{count})"


class GapList:
    """Gaps of a file in the order of reading it; the first message after a gap closes it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._closed: list[Gap] = []
        self._open: list[Gap] = []
        self._last_ns: int | None = None

    def add(self, cause: str, lost_bytes: int, messages: int | None = None) -> None:
        """Note a stretch; one that follows another of the same cause without a message between extends it."""
        if self._open and self._open[-1].cause == cause and self._open[-1].messages is None and messages is None:
            self._open[-1] = replace(self._open[-1], bytes=self._open[-1].bytes + lost_bytes)
        else:
            self._open.append(Gap(self._file, cause, lost_bytes, self._last_ns, None, messages))

    def message(self, first_ns: int, last_ns: int) -> None:
        """Messages of this span were read."""
        self._closed += [replace(gap, to_ns=first_ns) for gap in self._open]
        self._open.clear()
        self._last_ns = last_ns if self._last_ns is None else max(self._last_ns, last_ns)

    def all(self, end_ns: int | None = None) -> tuple[Gap, ...]:
        """All gaps; one at the end of the file reaches to `end_ns` where that is known."""
        return (*self._closed, *(replace(gap, to_ns=end_ns) for gap in self._open))
