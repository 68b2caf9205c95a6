# SPDX-License-Identifier: Apache-2.0
"""Encoded messages of a bag in recording order: MCAP (checksums validated), or whatever else rosbags
opens."""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mcap.exceptions import McapError
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from geodistill_core.bags.writer import typestore
from geodistill_core.errors import BagError

_REMEDY = "copy it again, or recover what is left with `mcap recover` or `ros2 bag reindex`"
# Footer record: opcode, length, start of the summary, start of its offsets, CRC-32; then the file's magic.
_FOOTER = struct.Struct("<BQQQI8s")
_FOOTER_OPCODE = 2
_MAGIC = b"\x89MCAP0\r\n"
_AFTER_CHECKED = 12


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


class BagSource(ABC):
    """A readable bag: `topics` by name, the span of recording times, messages on demand."""

    path: Path
    topics: dict[str, TopicInfo]
    start_ns: int
    end_ns: int

    @abstractmethod
    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of these topics by recording time; raises BagError where the bag is damaged."""

    def decode(self, message: RawMessage) -> Any:
        """The message as rosbags' class; raises BagError where its bytes do not fit its type."""
        try:
            return typestore().deserialize_cdr(message.cdr, message.msgtype)
        except Exception as error:  # whatever a decoder makes of foreign bytes
            raise BagError(
                f"{message.topic} at {message.log_ns} ns holds no valid {message.msgtype}: {error!r}; "
                f"{self.path} is damaged"
            ) from error


class McapSource(BagSource):
    """One or several MCAP files of one recording, in order of their first message."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path, self.topics = path, {}
        spans: list[tuple[int, int, Path]] = []
        for file in files:
            statistics, channels, schemas = _summary(file)
            spans.append((statistics.message_start_time, statistics.message_end_time, file))
            for number, channel in channels.items():
                known = self.topics.get(channel.topic)
                count = statistics.channel_message_counts.get(number, 0) + (known.messages if known else 0)
                schema = schemas.get(channel.schema_id)
                self.topics[channel.topic] = TopicInfo(schema.name if schema else "unknown", count)
        spans.sort(key=lambda span: (span[0], str(span[2])))
        self._files = [file for _, _, file in spans]
        self.start_ns, self.end_ns = min(span[0] for span in spans), max(span[1] for span in spans)

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """See `BagSource.messages`."""
        for file in self._files:
            with file.open("rb") as stream:
                try:
                    for schema, channel, message in make_reader(stream, validate_crcs=True).iter_messages(
                        topics=list(topics)
                    ):
                        name = schema.name if schema else "unknown"
                        yield RawMessage(channel.topic, name, message.log_time, message.data)
                except Exception as error:  # mcap raises what its parsing happens to hit
                    raise BagError(f"{file} is damaged: {error!r}; {_REMEDY}") from error


class RosbagsSource(BagSource):
    """Any other recording that rosbags opens: SQLite bags, compressed bags."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with AnyReader([path], default_typestore=typestore()) as reader:
                self.topics = {
                    topic: TopicInfo(info.msgtype or "several types", info.msgcount)
                    for topic, info in reader.topics.items()
                }
                self.start_ns, self.end_ns = reader.start_time, reader.end_time
        except Exception as error:
            raise BagError(f"{path} cannot be read: {error!r}; {_REMEDY}") from error

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """See `BagSource.messages`."""
        try:
            with AnyReader([self.path], default_typestore=typestore()) as reader:
                wanted = [connection for connection in reader.connections if connection.topic in topics]
                for connection, log_ns, data in reader.messages(wanted):
                    yield RawMessage(connection.topic, connection.msgtype, log_ns, bytes(data))
        except Exception as error:
            raise BagError(f"{self.path} is damaged: {error!r}; {_REMEDY}") from error


def open_bag(path: Path | str) -> BagSource:
    """Open an .mcap file, a rosbag2 folder or a .db3 file; raises BagError with the remedy."""
    path = Path(path)
    if not path.exists():
        raise BagError(f"{path} does not exist; give an .mcap file or a rosbag2 folder")
    files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
    if not files or any(file.suffix != ".mcap" for file in files):
        if path.suffix == ".bag":
            raise BagError(f"{path} is a ROS 1 bag; convert it with `rosbags-convert` to ROS 2")
        return RosbagsSource(path)
    source = McapSource(path, files)
    if not any(info.messages for info in source.topics.values()):
        raise BagError(f"{path} holds no messages; record it again")
    return source


def _check_summary(stream: BinaryIO) -> None:
    """Compare the index at the end of an MCAP file with its checksum; mcap itself only checks chunks."""
    stream.seek(-_FOOTER.size, 2)
    end = stream.tell() + _FOOTER.size
    opcode, _, start, _, checksum, magic = _FOOTER.unpack(stream.read(_FOOTER.size))
    if opcode != _FOOTER_OPCODE or magic != _MAGIC or start > end:
        raise ValueError("it does not end as an MCAP file ends")
    if start and checksum:
        stream.seek(start)
        if zlib.crc32(stream.read(end - start - _AFTER_CHECKED)) != checksum:
            raise ValueError("the checksum of its index is wrong")
    stream.seek(0)


def _summary(file: Path) -> tuple[Any, dict[int, Any], dict[int, Any]]:
    """Statistics, channels and schemas of an MCAP file."""
    if file.stat().st_size == 0:
        raise BagError(f"{file} is empty; record it again")
    try:
        with file.open("rb") as stream:
            _check_summary(stream)
            summary = make_reader(stream, validate_crcs=True).get_summary()
    except (McapError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise BagError(f"{file} is truncated or not an MCAP file: {error!r}; {_REMEDY}") from error
    if summary is None or summary.statistics is None:
        raise BagError(f"{file} has no index, its recorder was interrupted; {_REMEDY}")
    return summary.statistics, summary.channels, summary.schemas
