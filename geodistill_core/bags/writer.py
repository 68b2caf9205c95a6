# SPDX-License-Identifier: Apache-2.0
"""One bare MCAP file in ROS 2's profile, as `ros2 bag` and Foxglove read it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.typesys import Stores, get_typestore

from geodistill_core.errors import BagError

CHUNK_BYTES = 128 * 1024
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


class BagWriter:
    """Writes messages in the order given; the file appears under its name only when it is complete.

    A context manager: leaving it with an exception removes the unfinished file. The bytes depend on the
    messages alone.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.suffix != ".mcap":
            raise BagError(f"{self.path} must end in .mcap")
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        except OSError as error:
            raise BagError(f"cannot write {self.path}: {error.strerror}; choose another folder") from error
        self._writer = McapWriter(
            self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD, index_types=IndexType.ALL
        )
        self._writer.start(profile="ros2", library="geodistill")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, tuple[int, str]] = {}
        self._sequence: dict[str, int] = {}

    def add_topic(self, topic: str, msgtype: str, *, latched: bool = False) -> None:
        """Register a topic; `latched` asks players for transient-local durability."""
        store = typestore()
        if msgtype not in self._schemas:
            definition, _ = store.generate_msgdef(msgtype, ros_version=2)
            self._schemas[msgtype] = self._writer.register_schema(msgtype, "ros2msg", definition.encode())
        metadata = {
            "offered_qos_profiles": _QOS.replace("DURABILITY", "transient_local" if latched else "volatile"),
            "topic_type_hash": store.hash_rihs01(msgtype),
        }
        channel = self._writer.register_channel(topic, "cdr", self._schemas[msgtype], metadata)
        self._channels[topic] = (channel, msgtype)

    def write(self, topic: str, message: Any, stamp_ns: int) -> None:
        """Append a message (a class of `typestore()`) to a registered topic."""
        self.write_cdr(topic, bytes(typestore().serialize_cdr(message, self._channels[topic][1])), stamp_ns)

    def write_cdr(self, topic: str, cdr: bytes, stamp_ns: int) -> None:
        """Append an encoded message to a registered topic."""
        channel, _ = self._channels[topic]
        self._sequence[topic] = self._sequence.get(topic, -1) + 1
        self._writer.add_message(channel, stamp_ns, cdr, stamp_ns, self._sequence[topic])

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._writer.finish()  # type: ignore[no-untyped-call]
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._partial.replace(self.path)
        except OSError as failure:
            raise BagError(f"cannot write {self.path}: {failure.strerror}; free some disk space") from failure
        finally:
            self._file.close()
            self._partial.unlink(missing_ok=True)
