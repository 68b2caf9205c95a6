# SPDX-License-Identifier: Apache-2.0
"""One look over a recording before it is replayed: its clocks, its order, its halts, its truth."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from geodistill_core.bags.events import by_topic, header_stamp_ns
from geodistill_core.bags.source import BagSource
from geodistill_core.bags.stamps import halts, wild_stamps
from geodistill_core.bags.topics import StreamKind
from geodistill_core.bags.truth.source import TRUTH_KINDS, TruthMessages
from geodistill_core.bags.truth.track import TruthTrack
from geodistill_core.errors import BagError

CLOCK_TOLERANCE_S = 1.0
MAX_LISTED = 5
_LEAST_NS = -(2**63)  # recording times are unsigned, and a damaged one may be any


@dataclass(frozen=True)
class StreamSurvey:
    """The header stamps of a stream. `ahead_s` is the median of stamp minus recording time; `late` came after a
    later stamp, `repeated` after the same, `wild` fit nowhere; `halts` are the stamps before and after."""

    topic: str
    messages: int
    first_ns: int
    last_ns: int
    ahead_s: float
    late: int
    repeated: int
    wild: frozenset[int]
    halts: tuple[tuple[int, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; halts in seconds."""
        return {
            "topic": self.topic,
            "messages": self.messages,
            "first_s": self.first_ns * 1e-9,
            "last_s": self.last_ns * 1e-9,
            "stamp_minus_recording_s": round(self.ahead_s, 6),
            "late": self.late,
            "repeated": self.repeated,
            "wild": len(self.wild),
            "halts": [[before * 1e-9, after * 1e-9] for before, after in self.halts[:MAX_LISTED]],
            "halts_not_listed": max(0, len(self.halts) - MAX_LISTED),
        }

    def remarks(self) -> list[str]:
        """What a reader of results should know."""
        counts = (
            (self.late, "messages came late and were sorted as far as a second allows"),
            (self.repeated, "messages repeat a stamp"),
            (len(self.wild), "messages have stamps that fit nowhere and are not used"),
        )
        said = [f"{self.topic}: {count} {text}" for count, text in counts if count]
        for before, after in self.halts[:MAX_LISTED]:
            said.append(f"{self.topic} halts for {(after - before) * 1e-9:.1f} s from {before * 1e-9:.3f}")
        if len(self.halts) > MAX_LISTED:
            said.append(f"{self.topic} halts {len(self.halts) - MAX_LISTED} times more")
        return said


@dataclass(frozen=True)
class DriveSurvey:
    """All streams of a drive, the stamps of its images that are not wild, and its truth."""

    streams: Mapping[StreamKind, StreamSurvey]
    image_stamps_ns: tuple[int, ...] = field(repr=False)
    truth: TruthTrack | None

    @property
    def wild(self) -> dict[str, frozenset[int]]:
        """Numbers of the messages of wild stamps by topic."""
        return {stream.topic: stream.wild for stream in self.streams.values()}

    def remarks(self) -> list[str]:
        """What is odd about clocks and stamps."""
        said, image = [], self.streams[StreamKind.IMAGE]
        if abs(image.ahead_s) > CLOCK_TOLERANCE_S:
            said.append(
                f"header stamps of {image.topic} are {_apart(image.ahead_s)} the recording's clock and are used"
            )
        for kind, stream in self.streams.items():
            apart_s = stream.ahead_s - image.ahead_s
            if abs(apart_s) > CLOCK_TOLERANCE_S and kind is not StreamKind.TRUTH_DATUM:
                said.append(
                    f"the clock of {stream.topic} is {_apart(apart_s)} that of {image.topic}; they may not meet"
                )
        said += [line for stream in self.streams.values() for line in stream.remarks()]
        return list(dict.fromkeys(said))  # a topic may serve two streams


def survey_drive(source: BagSource, topics: Mapping[StreamKind, str], truth: TruthMessages) -> DriveSurvey:
    """Read all header stamps, and the truth; raises BagError where the recording is damaged or its truth useless."""
    kinds = by_topic(topics)
    stamps = {topic: array("q") for topic in kinds}
    delays = {topic: array("q") for topic in kinds}
    for raw in source.messages(list(kinds)):
        stamp_ns = header_stamp_ns(raw.cdr)
        number = len(stamps[raw.topic])
        stamps[raw.topic].append(stamp_ns)
        delays[raw.topic].append(max(_LEAST_NS, stamp_ns - raw.log_ns))
        for kind in kinds[raw.topic]:
            if kind in TRUTH_KINDS:
                try:
                    truth.take(kind, number, source.decode(raw))
                except BagError:
                    if source.salvage is None:
                        raise
    streams = {kind: _stream(topic, stamps[topic], delays[topic]) for kind, topic in topics.items() if stamps[topic]}
    pose, image = streams.get(StreamKind.TRUTH_POSE), streams[StreamKind.IMAGE]
    images = tuple(sorted(stamp for n, stamp in enumerate(stamps[image.topic]) if n not in image.wild))
    return DriveSurvey(streams, images, truth.track(pose.wild if pose else ()))


def _stream(topic: str, stamps: array[int], delays: array[int]) -> StreamSurvey:
    wild = wild_stamps(stamps)
    tame = [stamp for number, stamp in enumerate(stamps) if number not in wild]
    late = repeated = 0
    newest = tame[0]
    for stamp in tame[1:]:
        late, repeated = late + (stamp < newest), repeated + (stamp == newest)
        newest = max(newest, stamp)
    ordered, ahead_s = sorted(tame), median(delays) * 1e-9
    return StreamSurvey(
        topic, len(stamps), ordered[0], ordered[-1], ahead_s, late, repeated, wild, tuple(halts(ordered))
    )


def _apart(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"
