# SPDX-License-Identifier: Apache-2.0
"""The files that hold a recording: MCAP in ROS 2's profile, and rosbag2's SQLite database."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter

from geodistill_core.errors import ConfigError

Storage = Literal["mcap", "sqlite3"]
SUFFIXES: dict[Storage, str] = {"mcap": ".mcap", "sqlite3": ".db3"}
CHUNK_BYTES = 128 * 1024
_CHUNK_LIMITS = (64 * 1024, 256 * 1024)
_SCHEMA = """
PRAGMA journal_mode = OFF;
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE topics(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL,
  offered_qos_profiles TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(
  id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL,
  encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema(schema_version, ros_distro) VALUES (4, 'jazzy');
"""


def check_chunk_bytes(chunk_bytes: int) -> None:
    """Raises ConfigError for a chunk size outside 64 to 256 KiB."""
    low, high = _CHUNK_LIMITS
    if not low <= chunk_bytes <= high:
        raise ConfigError(
            f"chunks of {chunk_bytes} bytes; choose {low}..{high}: a damaged chunk is lost as a whole, and small ones "
            "cost space"
        )


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What a player must know of a topic; `qos` is the YAML of the profiles that its publisher offered."""

    name: str
    msgtype: str
    definition: str
    type_hash: str
    qos: str


class Container(Protocol):
    """Takes topics and encoded messages; `finish` closes the file, `abandon` leaves it as it is."""

    def add_topic(self, topic: TopicFacts) -> int:
        """Register a topic; its number."""
        ...

    def add_message(self, topic: int, stamp_ns: int, sequence: int, cdr: bytes) -> None:
        """Append a message to a registered topic."""
        ...

    def finish(self) -> None:
        """Write what readers look things up by, and close."""
        ...

    def abandon(self) -> None:
        """Close without finishing."""
        ...


class McapContainer:
    """Chunks of `chunk_bytes`, zstd-compressed, each with its CRC; a message that is larger fills a chunk alone."""

    def __init__(self, path: Path, chunk_bytes: int) -> None:
        check_chunk_bytes(chunk_bytes)
        self._file: BinaryIO = path.open("wb")
        self._writer = McapWriter(
            self._file, chunk_size=chunk_bytes, compression=CompressionType.ZSTD, index_types=IndexType.ALL
        )
        self._writer.start(profile="ros2", library="geodistill")
        self._schemas: dict[str, int] = {}

    def add_topic(self, topic: TopicFacts) -> int:
        """See `Container.add_topic`."""
        if topic.msgtype not in self._schemas:
            definition = topic.definition.encode()
            self._schemas[topic.msgtype] = self._writer.register_schema(topic.msgtype, "ros2msg", definition)
        metadata = {"offered_qos_profiles": topic.qos, "topic_type_hash": topic.type_hash}
        return self._writer.register_channel(topic.name, "cdr", self._schemas[topic.msgtype], metadata)

    def add_message(self, topic: int, stamp_ns: int, sequence: int, cdr: bytes) -> None:
        """See `Container.add_message`."""
        self._writer.add_message(topic, stamp_ns, cdr, stamp_ns, sequence)

    def finish(self) -> None:
        """See `Container.finish`."""
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """See `Container.abandon`."""
        self._file.close()


class SqliteContainer:
    """rosbag2's database, schema 4. SQLite keeps no checksums, so damage may go unnoticed: prefer MCAP."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._database = sqlite3.connect(path)
        self._database.executescript(_SCHEMA)
        self._types: set[str] = set()

    def add_topic(self, topic: TopicFacts) -> int:
        """See `Container.add_topic`."""
        if topic.msgtype not in self._types:
            self._types.add(topic.msgtype)
            columns = "topic_type, encoding, encoded_message_definition, type_description_hash"
            row = (topic.msgtype, "ros2msg", topic.definition, topic.type_hash)
            self._database.execute(f"INSERT INTO message_definitions ({columns}) VALUES (?, ?, ?, ?)", row)
        columns = "name, type, serialization_format, offered_qos_profiles, type_description_hash"
        values = (topic.name, topic.msgtype, "cdr", topic.qos, topic.type_hash)
        number = self._database.execute(f"INSERT INTO topics ({columns}) VALUES (?, ?, ?, ?, ?)", values).lastrowid
        assert number is not None
        return number

    def add_message(self, topic: int, stamp_ns: int, sequence: int, cdr: bytes) -> None:
        """See `Container.add_message`."""
        row = (topic, stamp_ns, cdr)
        self._database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row)

    def finish(self) -> None:
        """See `Container.finish`."""
        self._database.commit()
        self._database.close()

    def abandon(self) -> None:
        """See `Container.abandon`."""
        self._database.close()
