# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml: how `ros2 bag` knows a folder of files for one recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from geodistill_core.bags.storage.containers import SUFFIXES, TopicFacts

METADATA_FILE = "metadata.yaml"
_VERSION = 9
_STORAGE = {suffix: storage for storage, suffix in SUFFIXES.items()}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file of a recording: the first and last stamp, the topics, and how many messages each holds."""

    name: str
    start_ns: int
    end_ns: int
    topics: tuple[TopicFacts, ...]
    counts: Mapping[str, int]

    @property
    def messages(self) -> int:
        """All messages."""
        return sum(self.counts.values())


def write_metadata(folder: Path, files: Sequence[FileFacts]) -> Path:
    """Describe the files of one recording (in order of time, all of one kind) for `ros2 bag`; the file written."""
    held = [file for file in files if file.messages]
    topics = {topic.name: topic for file in files for topic in file.topics}
    start_ns, end_ns = min(file.start_ns for file in held), max(file.end_ns for file in held)
    information: dict[str, Any] = {
        "version": _VERSION,
        "storage_identifier": _STORAGE[Path(files[0].name).suffix],
        **_span(start_ns, end_ns),
        "message_count": sum(file.messages for file in files),
        "topics_with_message_count": [
            {"topic_metadata": _topic(topic), "message_count": sum(file.counts.get(name, 0) for file in files)}
            for name, topic in topics.items()
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [
            {"path": file.name, **_span(file.start_ns, file.end_ns), "message_count": file.messages} for file in files
        ],
        "custom_data": None,
        "ros_distro": "jazzy",
    }
    path = folder / METADATA_FILE
    partial = folder / f".{METADATA_FILE}.partial"
    partial.write_text(yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False), encoding="utf-8")
    return partial.replace(path)


def _span(start_ns: int, end_ns: int) -> dict[str, Any]:
    return {
        "duration": {"nanoseconds": end_ns - start_ns},
        "starting_time": {"nanoseconds_since_epoch": start_ns},
    }


def _topic(topic: TopicFacts) -> dict[str, Any]:
    return {
        "name": topic.name,
        "type": topic.msgtype,
        "serialization_format": "cdr",
        "offered_qos_profiles": yaml.safe_load(topic.qos),
        "type_description_hash": topic.type_hash,
    }
