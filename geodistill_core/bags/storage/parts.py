# SPDX-License-Identifier: Apache-2.0
"""What a recording consists of: files of encoded messages, each readable on its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REMEDY = (
    "copy it again, replay what is left with `--salvage`, or recover the file with `mcap recover` or `ros2 bag reindex`"
)


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic of a bag."""

    msgtype: str
    messages: int


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One recorded message, still encoded."""

    topic: str
    msgtype: str
    log_ns: int
    cdr: bytes


@dataclass(frozen=True, slots=True)
class Definition:
    """A message type as its recorder wrote it down: `encoding` is ros2msg or ros2idl."""

    encoding: str
    text: str


class BagPart(ABC):
    """One file of a recording: its topics, the recording times of its first and last message, its messages."""

    path: Path
    topics: Mapping[str, TopicInfo]
    definitions: Mapping[str, Definition]
    start_ns: int
    end_ns: int

    @abstractmethod
    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of these topics by recording time; raises BagError where the file is damaged."""


def merged_topics(parts: Collection[BagPart]) -> dict[str, TopicInfo]:
    """Topics of several files with their messages added up; a topic of two types is of neither."""
    merged: dict[str, TopicInfo] = {}
    for part in parts:
        for topic, info in part.topics.items():
            known = merged.get(topic, TopicInfo(info.msgtype, 0))
            same = known.msgtype == info.msgtype
            merged[topic] = TopicInfo(info.msgtype if same else "several types", known.messages + info.messages)
    return merged
