# SPDX-License-Identifier: Apache-2.0
"""One file of a recording, MCAP or SQLite, as `ros2 bag` and Foxglove read it."""

from __future__ import annotations

import os
import sqlite3
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.typesys import Stores, get_typestore

from geodistill_core.bags.storage.containers import (
    CHUNK_BYTES,
    SUFFIXES,
    Container,
    McapContainer,
    SqliteContainer,
    TopicFacts,
)
from geodistill_core.bags.storage.rosbag2_metadata import FileFacts
from geodistill_core.errors import BagError

_NEVER = "{sec: 0, nsec: 0}"
_QOS = (
    "[{history: keep_last, depth: 10, reliability: reliable, durability: DURABILITY, liveliness: automatic, "
    f"deadline: {_NEVER}, lifespan: {_NEVER}, liveliness_lease_duration: {_NEVER}, "
    "avoid_ros_namespace_conventions: false}]"
)


@lru_cache(maxsize=1)
def typestore() -> Any:
    """Message classes and their CDR encoding; the types a drive uses are the same from Humble to Lyrical."""
    return get_typestore(Stores.ROS2_JAZZY)


def topic_facts(topic: str, msgtype: str, *, latched: bool = False) -> TopicFacts:
    """What a file says of a topic; `latched` asks players for transient-local durability."""
    store = typestore()
    definition, _ = store.generate_msgdef(msgtype, ros_version=2)
    qos = _QOS.replace("DURABILITY", "transient_local" if latched else "volatile")
    return TopicFacts(topic, msgtype, definition, store.hash_rihs01(msgtype), qos)


class BagWriter:
    """Writes messages in the order given to an .mcap or a .db3 file, which appears when it is complete.

    A context manager: leaving it with an exception removes the unfinished file. The bytes depend on the messages
    alone. `chunk_bytes` (MCAP) is how much a damaged byte may cost, 64 to 256 KiB.

    Raises:
        BagError: the path has another suffix or cannot be written.
        ConfigError: the chunk size is outside its limits.
    """

    def __init__(self, path: Path | str, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.path = Path(path)
        if self.path.suffix not in SUFFIXES.values():
            raise BagError(f"{self.path} must end in .mcap, or in .db3 for SQLite")
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self._topics: dict[str, tuple[int, TopicFacts]] = {}
        self._counts: dict[str, int] = {}
        self._span_ns = (0, 0)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._partial.unlink(missing_ok=True)
            mcap = self.path.suffix == SUFFIXES["mcap"]
            self._container: Container = (
                McapContainer(self._partial, chunk_bytes) if mcap else SqliteContainer(self._partial)
            )
        except OSError as error:
            raise BagError(f"cannot write {self.path}: {error.strerror}; choose another folder") from error

    def add_topic(self, topic: str, msgtype: str, *, latched: bool = False) -> None:
        """Register a topic; `latched` asks players for transient-local durability."""
        facts = topic_facts(topic, msgtype, latched=latched)
        self._topics[topic] = self._container.add_topic(facts), facts
        self._counts[topic] = 0

    def write(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Append a message (a class of `typestore()`) to a registered topic."""
        self.write_cdr(topic, bytes(typestore().serialize_cdr(message, self._topics[topic][1].msgtype)), stamp_ns)

    def write_cdr(self, topic: str, cdr: bytes, stamp_ns: int) -> None:
        """Append an encoded message to a registered topic."""
        first = not any(self._counts.values())
        self._container.add_message(self._topics[topic][0], stamp_ns, self._counts[topic], cdr)
        self._counts[topic] += 1
        start_ns, end_ns = (stamp_ns, stamp_ns) if first else self._span_ns
        self._span_ns = min(start_ns, stamp_ns), max(end_ns, stamp_ns)

    def facts(self) -> FileFacts:
        """What has been written so far."""
        topics = tuple(facts for _, facts in self._topics.values())
        return FileFacts(self.path.name, *self._span_ns, topics, dict(self._counts))

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.finish()
                self._partial.replace(self.path)
        except (OSError, sqlite3.Error) as failure:
            raise BagError(f"cannot write {self.path}: {failure}; free some disk space") from failure
        finally:
            self._container.abandon()
            self._partial.unlink(missing_ok=True)
