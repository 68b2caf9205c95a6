# SPDX-License-Identifier: Apache-2.0
"""A recording on disk, whatever its files are: topics, messages in recording order, decoding."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from geodistill_core.bags.definitions import Definitions
from geodistill_core.bags.salvage import Salvage, salvaged_parts
from geodistill_core.bags.salvage.mcap import SalvagedMcap
from geodistill_core.bags.storage.folder import FileKind, find_files, kind_of, refuse_foreign
from geodistill_core.bags.storage.mcap_part import McapPart, read_summary
from geodistill_core.bags.storage.parts import REMEDY, BagPart, RawMessage, TopicInfo, merged_topics
from geodistill_core.bags.storage.rosbags_part import RosbagsPart
from geodistill_core.errors import BagError

__all__ = ["BagSource", "RawMessage", "TopicInfo", "open_bag"]


class BagSource:
    """A readable bag. `salvage` is the account of what could not be read, None where nobody asked for one;
    `remark` says what is odd about its files."""

    def __init__(
        self, path: Path, parts: Sequence[BagPart], salvage: Salvage | None = None, remark: str | None = None
    ) -> None:
        self.path, self.salvage, self.remark = path, salvage, remark
        self.parts = sorted(parts, key=lambda part: (part.start_ns, part.path.name))
        self.topics: dict[str, TopicInfo] = merged_topics(self.parts)
        if not any(info.messages for info in self.topics.values()):
            raise BagError(f"{path} holds no messages; record it again")
        full = [part for part in parts if any(info.messages for info in part.topics.values())]
        self.start_ns, self.end_ns = min(part.start_ns for part in full), max(part.end_ns for part in full)
        self.types = Definitions({name: text for part in parts for name, text in part.definitions.items()})

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of these topics by recording time; raises BagError where the bag is damaged."""
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(part.messages(topics))) for part in self.parts]  # type: ignore[type-var]
            yield from heapq.merge(*streams, key=lambda message: message.log_ns)

    def decode(self, message: RawMessage) -> Any:
        """The message as rosbags' class; raises BagError where its bytes do not fit its type."""
        try:
            return self.types.decode(message.cdr, message.msgtype)
        except BagError:
            raise
        except Exception as error:  # whatever a decoder makes of foreign bytes
            raise BagError(
                f"{message.topic} at {message.log_ns} ns holds no valid {message.msgtype}: {error!r}; "
                f"{self.path} is damaged, replay what is left with `--salvage`"
            ) from error


def open_bag(path: Path | str, *, salvage: bool = False) -> BagSource:
    """Open an .mcap or .db3 file or a rosbag2 folder; with `salvage` whatever is left of it.

    Raises:
        BagError: it cannot be opened, or is damaged and not to be salvaged; the message has the remedy.
    """
    files = find_files(Path(path))
    if files.promise is not None and files.promise.compression:
        return BagSource(files.path, [RosbagsPart(files.path)])
    if salvage:
        parts, account = salvaged_parts(files)
        return BagSource(files.path, parts, account, files.remark)
    if files.missing:
        raise BagError(
            f"{files.path} lacks {', '.join(files.missing)} of its "
            f"{len(files.files) + len(files.missing)} files; copy it again, or replay the rest with `--salvage`"
        )
    return BagSource(files.path, [_intact(file) for file in files.files], remark=files.remark)


def _intact(file: Path) -> BagPart:
    """One file, read strictly."""
    kind = kind_of(file)
    refuse_foreign(file, kind)
    if kind is FileKind.SQLITE:
        return RosbagsPart(file)
    if kind is not FileKind.MCAP:
        raise BagError(f"{file} is {kind}; give an .mcap file or a rosbag2 folder. If it was one, {REMEDY}")
    summary = read_summary(file)
    if summary is not None and summary.statistics is not None and summary.chunk_indexes:
        return McapPart(file, summary)
    scanned = SalvagedMcap(file)
    if scanned.gaps or not scanned.finished:
        raise BagError(f"{file} has no index, its recorder was interrupted; {REMEDY}")
    return scanned
