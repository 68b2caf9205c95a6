# SPDX-License-Identifier: Apache-2.0
"""An intact MCAP file, read by its index; every checksum is validated."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mcap.exceptions import McapError
from mcap.reader import make_reader

from geodistill_core.bags.storage.parts import REMEDY, BagPart, Definition, RawMessage, TopicInfo
from geodistill_core.errors import BagError

CDR = "cdr"
# Footer record: opcode, length, start of the summary, start of its offsets, CRC-32; then the file's magic.
FOOTER = struct.Struct("<BQQQI8s")
FOOTER_OPCODE = 2
MAGIC = b"\x89MCAP0\r\n"
_AFTER_CHECKED = 12


class McapPart(BagPart):
    """An MCAP file with an index over its chunks."""

    def __init__(self, path: Path, summary: Any) -> None:
        self.path = path
        statistics = summary.statistics
        self.start_ns, self.end_ns = statistics.message_start_time, statistics.message_end_time
        counts = {number: statistics.channel_message_counts.get(number, 0) for number in summary.channels}
        self.topics = topic_infos(summary.channels, summary.schemas, counts)
        self.definitions = definitions_of(summary.schemas)

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """See `BagPart.messages`."""
        with self.path.open("rb") as stream:
            try:
                for _, channel, message in make_reader(stream, validate_crcs=True).iter_messages(topics=list(topics)):
                    msgtype = self.topics[channel.topic].msgtype
                    yield RawMessage(channel.topic, msgtype, message.log_time, message.data)
            except Exception as error:  # mcap raises what its parsing happens to hit
                raise BagError(f"{self.path} is damaged: {error!r}; {REMEDY}") from error


def read_summary(file: Path) -> Any | None:
    """The index of an MCAP file as mcap's Summary; None where it has none, BagError where it is damaged."""
    try:
        with file.open("rb") as stream:
            _check_summary(stream)
            return make_reader(stream, validate_crcs=True).get_summary()
    except (McapError, OSError, ValueError, OverflowError, MemoryError, struct.error) as error:
        raise BagError(f"{file} is truncated or not an MCAP file: {error!r}; {REMEDY}") from error


def topic_infos(channels: dict[int, Any], schemas: dict[int, Any], counts: dict[int, int]) -> dict[str, TopicInfo]:
    """Topics of MCAP channels; a channel that is not encoded as CDR is of a type that nothing here reads."""
    topics: dict[str, TopicInfo] = {}
    for number, channel in sorted(channels.items()):
        schema = schemas.get(channel.schema_id)
        msgtype = schema.name if schema else "unknown"
        if channel.message_encoding != CDR:
            msgtype = f"{msgtype} as {channel.message_encoding}"
        known = topics.get(channel.topic)
        if known is not None and known.msgtype != msgtype:
            msgtype = "several types"
        topics[channel.topic] = TopicInfo(msgtype, counts.get(number, 0) + (known.messages if known else 0))
    return topics


def definitions_of(schemas: dict[int, Any]) -> dict[str, Definition]:
    """Message definitions by type."""
    return {
        schema.name: Definition(schema.encoding, schema.data.decode("utf-8", "replace"))
        for schema in schemas.values()
        if schema.encoding in ("ros2msg", "ros2idl")
    }


def _check_summary(stream: BinaryIO) -> None:
    """Compare the index at the end of an MCAP file with its checksum; mcap itself only checks chunks."""
    stream.seek(-FOOTER.size, 2)
    end = stream.tell() + FOOTER.size
    opcode, _, start, _, checksum, magic = FOOTER.unpack(stream.read(FOOTER.size))
    if opcode != FOOTER_OPCODE or magic != MAGIC or start > end:
        raise ValueError("it does not end as an MCAP file ends")
    if start and checksum:
        stream.seek(start)
        if zlib.crc32(stream.read(end - start - _AFTER_CHECKED)) != checksum:
            raise ValueError("the checksum of its index is wrong")
    stream.seek(0)
