# SPDX-License-Identifier: Apache-2.0
"""An intact SQLite file, or a recording that was compressed as a whole, as rosbags reads them.

`AnyReader` would turn every message definition of the bag into code and refuse the bag for one that is malformed; the
reader below it does neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader

from geodistill_core.bags.storage.parts import REMEDY, BagPart, Definition, RawMessage, TopicInfo
from geodistill_core.errors import BagError

_ENCODINGS = {MessageDefinitionFormat.MSG: "ros2msg", MessageDefinitionFormat.IDL: "ros2idl"}


class RosbagsPart(BagPart):
    """A .db3 file, or a rosbag2 folder with its metadata.yaml."""

    def __init__(self, path: Path) -> None:
        self.path = path
        refuse_unwritten(path)
        try:
            with Reader(path) as reader:
                self.topics = _topics(reader.connections)
                self.definitions = {
                    connection.msgtype: Definition(_ENCODINGS[connection.msgdef.format], connection.msgdef.data)
                    for connection in reader.connections
                    if connection.msgdef.format in _ENCODINGS
                }
                self.start_ns, self.end_ns = reader.start_time, reader.end_time - 1
        except Exception as error:  # apsw, zstandard and yaml each have a family of their own
            raise BagError(f"{path} cannot be read: {error!r}; {REMEDY}") from error

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """See `BagPart.messages`."""
        try:
            with Reader(self.path) as reader:
                wanted = [connection for connection in reader.connections if connection.topic in topics]
                if not wanted:
                    return
                for connection, log_ns, data in reader.messages(wanted):
                    yield RawMessage(connection.topic, connection.msgtype, log_ns, bytes(data))
        except Exception as error:
            raise BagError(f"{self.path} is damaged: {error!r}; {REMEDY}") from error


def refuse_unwritten(file: Path) -> None:
    """Raise BagError where an interrupted recorder left messages in a write-ahead log beside an SQLite file."""
    log = file.with_name(file.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise BagError(
            f"{log} holds messages that are not yet in {file.name}; "
            f"`sqlite3 {file} 'PRAGMA wal_checkpoint(TRUNCATE)'` moves them there"
        )


def _topics(connections: list[Any]) -> dict[str, TopicInfo]:
    topics: dict[str, TopicInfo] = {}
    for connection in connections:
        known = topics.get(connection.topic, TopicInfo(connection.msgtype, 0))
        msgtype = connection.msgtype if known.msgtype == connection.msgtype else "several types"
        topics[connection.topic] = TopicInfo(msgtype, known.messages + connection.msgcount)
    return topics
