# SPDX-License-Identifier: Apache-2.0
"""The files of a recording, told by their content; and what the metadata.yaml beside them promises."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from geodistill_core.bags.storage.mcap_part import MAGIC
from geodistill_core.errors import BagError

METADATA = "metadata.yaml"
SUFFIXES = (".mcap", ".db3")
_MAX_METADATA_BYTES = 16_000_000
_SPLIT, _MAX_FILES = re.compile(r"(.*)_(0|[1-9]\d{0,5})(\.mcap|\.db3)"), 10_000


class FileKind(str, Enum):
    """What a file is, by its first bytes."""

    MCAP = "an MCAP file"
    SQLITE = "an SQLite file"
    ROS1 = "a ROS 1 bag"
    ZSTD = "a zstd-compressed file"
    EMPTY = "empty"
    UNKNOWN = "neither MCAP nor SQLite"

    def __str__(self) -> str:
        return self.value


_BEGINNINGS = {
    MAGIC: FileKind.MCAP,
    b"SQLite format 3\0": FileKind.SQLITE,
    b"#ROSBAG V": FileKind.ROS1,
    b"\x28\xb5\x2f\xfd": FileKind.ZSTD,
}


@dataclass(frozen=True, slots=True)
class Promise:
    """What metadata.yaml says of a recording: messages by topic, its span, its files, their compression."""

    messages: Mapping[str, int] = field(default_factory=dict)
    end_ns: int | None = None
    files: tuple[str, ...] = ()
    compression: str = ""


@dataclass(frozen=True, slots=True)
class BagFiles:
    """Files that exist (in order of name), names that do not, and the metadata; `remark` says what is odd."""

    path: Path
    files: tuple[Path, ...]
    missing: tuple[str, ...] = ()
    promise: Promise | None = None
    remark: str | None = None


def kind_of(file: Path) -> FileKind:
    """Look at the first bytes of a file; raises BagError where it cannot be opened."""
    try:
        with file.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise BagError(f"{file} cannot be opened: {error.strerror}; check its name and permissions") from error
    if not head:
        return FileKind.EMPTY
    return next((kind for start, kind in _BEGINNINGS.items() if head.startswith(start)), FileKind.UNKNOWN)


def refuse_foreign(file: Path, kind: FileKind) -> None:
    """Raise BagError for a file of a kind that no reader here takes, with the way to one that they do."""
    if kind is FileKind.ROS1:
        source, target = shlex.quote(str(file)), shlex.quote(str(file.with_suffix("")))
        command = f"rosbags-convert --src {source} --dst {target} --dst-storage mcap"
        raise BagError(f"{file} is a ROS 1 bag; convert it with `{command}`")
    if kind is FileKind.ZSTD:
        raise BagError(f"{file} is {kind}; decompress it with `zstd -d {shlex.quote(str(file))}`")
    if kind is FileKind.EMPTY:
        raise BagError(f"{file} is empty; record it again")


def find_files(path: Path) -> BagFiles:
    """The files of an .mcap or .db3 file or a rosbag2 folder; raises BagError where there is none."""
    if not path.exists():
        raise BagError(f"{path} does not exist; give an .mcap file or a rosbag2 folder")
    if not path.is_dir():
        return BagFiles(path, (path,))
    promise, remark = _promise(path / METADATA)
    files = {file.name: file for suffix in SUFFIXES for file in path.glob(f"*{suffix}")}
    # a name from a file must not lead out of the folder
    named = [PurePosixPath(name).name for name in promise.files] if promise else _numbered(sorted(files))
    files |= {name: path / name for name in named if (path / name).is_file()}
    missing = tuple(name for name in named if name not in files)
    if not files:
        raise BagError(
            f"{path} holds no .mcap or .db3 file; copy the recording again (where only {METADATA} is lost, "
            f"`ros2 bag reindex {path}` makes it anew)"
        )
    return BagFiles(path, tuple(files[name] for name in sorted(files)), missing, promise, remark)


def _numbered(names: list[str]) -> list[str]:
    """The names `bag_1.mcap` to `bag_3.mcap` where there are the first and the last: a split recording has them all."""
    found = [match for name in names if (match := _SPLIT.fullmatch(name))]
    numbers: dict[tuple[str, str], list[int]] = {}
    for stem, number, suffix in (match.groups() for match in found):
        numbers.setdefault((stem, suffix), []).append(int(number))
    return [
        f"{stem}_{number}{suffix}"
        for (stem, suffix), known in numbers.items()
        if max(known) - min(known) < _MAX_FILES
        for number in range(min(known), max(known) + 1)
    ]


def _promise(file: Path) -> tuple[Promise | None, str | None]:
    """The content of a metadata.yaml and, where it is of no use, why."""
    if not file.exists():
        return None, f"{METADATA} is missing; the files speak for themselves"
    try:
        if file.stat().st_size > _MAX_METADATA_BYTES:
            raise ValueError(f"it is larger than {_MAX_METADATA_BYTES} bytes")
        content = yaml.safe_load(file.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
        return _read(content), None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError, RecursionError) as error:
        return None, f"{METADATA} cannot be read ({type(error).__name__}); `ros2 bag reindex` makes it anew"


def _read(content: Mapping[str, Any]) -> Promise:
    counts = {
        str(entry["topic_metadata"]["name"]): int(entry["message_count"])
        for entry in content.get("topics_with_message_count", [])
    }
    start_ns = int(content["starting_time"]["nanoseconds_since_epoch"])
    mode = str(content.get("compression_mode") or "").lower()
    return Promise(
        counts,
        start_ns + int(content["duration"]["nanoseconds"]) if any(counts.values()) else None,
        tuple(str(name) for name in content.get("relative_file_paths", [])),
        "" if mode in ("", "none") else mode,
    )
