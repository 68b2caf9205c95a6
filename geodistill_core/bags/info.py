# SPDX-License-Identifier: Apache-2.0
"""What a recording holds for a localization run, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from geodistill_core.bags.manifest import DriveManifest, load_manifest, sha256_of
from geodistill_core.bags.messages import stamp_ns
from geodistill_core.bags.reader import DriveReader, ReaderOptions
from geodistill_core.bags.source import BagSource, open_bag
from geodistill_core.bags.static_frames import static_mount
from geodistill_core.bags.stream_notes import SEVERAL, camera_note, first_fix, image_note, knows_heading
from geodistill_core.bags.topics import StreamKind, find_topics
from geodistill_core.errors import BagError, MapError
from geodistill_core.maps import open_map

_SAMPLED = 50
_OFFSET_S = 1.0
_First = dict[StreamKind, list[tuple[int, Any]]]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream: where it is, how much of it there is, what it says, and what is wrong with that."""

    kind: StreamKind
    topic: str
    msgtype: str
    messages: int
    rate_hz: float
    note: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class BagInfo:
    """A recording at a glance; it can be localized when nothing is `missing`. `remarks` are worth knowing."""

    path: Path
    storage: str
    files: int
    size_bytes: int
    start_ns: int
    duration_s: float
    streams: tuple[StreamInfo, ...]
    other_topics: tuple[str, ...]
    missing: tuple[str, ...]
    remarks: tuple[str, ...]
    map: Path | None
    manifest: DriveManifest | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": str(self.path),
            "storage": self.storage,
            "files": self.files,
            "size_bytes": self.size_bytes,
            "start_ns": self.start_ns,
            "duration_s": round(self.duration_s, 3),
            "streams": [asdict(stream) | {"kind": str(stream.kind)} for stream in self.streams],
            "other_topics": list(self.other_topics),
            "missing": list(self.missing),
            "remarks": list(self.remarks),
            "map": str(self.map) if self.map else None,
            "ready": not self.missing,
            "sidecar": self.manifest.model_dump(exclude_none=True) if self.manifest else None,
        }


def inspect_bag(path: Path | str, *, full: bool = False) -> BagInfo:
    """Look into a recording without reading all of it; raises BagError where it cannot be opened.

    With `full` all of it is read: clocks, halts, damage, and whether recording and map have the sidecar's hashes.
    """
    source = open_bag(path)
    manifest = load_manifest(source.path)
    topics, missing = find_topics({t: info.msgtype for t, info in source.topics.items() if info.messages})
    pinhole = StreamKind.CAMERA_INFO in topics
    first = {kind: _first(source, topic) for kind, topic in topics.items()}
    duration_s = max(0.0, (source.end_ns - source.start_ns) * 1e-9)
    streams = tuple(_stream(source, kind, topic, duration_s, first) for kind, topic in topics.items())
    missing += [stream.problem for stream in streams if stream.problem is not None]
    remarks = list(_remarks(source, first))
    if manifest is None:
        mount = static_mount(source, topics[StreamKind.IMAGE], pinhole) if StreamKind.IMAGE in topics else None
        said = "camera mount: neither a sidecar nor /tf_static states it; give the camera height"
        (missing if mount is None else remarks).append(said if mount is None else f"camera mount: from {mount[1]}")
    if full:
        missing += _altered(source.path, manifest) if manifest else []
        remarks += [] if missing else _surveyed(DriveReader(source, manifest, ReaderOptions()))
    found_map = _map_beside(source.path, manifest)
    files = [part.path for part in source.parts]
    return BagInfo(
        source.path,
        "sqlite3" if any(file.suffix == ".db3" for file in files) else "mcap",
        len(files),
        sum(file.stat().st_size for file in files if file.is_file()),
        source.start_ns,
        duration_s,
        streams,
        tuple(sorted(set(source.topics) - set(topics.values()))),
        tuple(missing),
        tuple(dict.fromkeys(remarks + _map_remarks(found_map, first))),
        found_map,
        manifest,
    )


def _first(source: BagSource, topic: str) -> list[tuple[int, Any]]:
    """The first messages of a topic, with their recording times."""
    return [(raw.log_ns, source.decode(raw)) for raw in islice(source.messages([topic]), _SAMPLED)]


def _stream(
    source: BagSource,
    kind: StreamKind,
    topic: str,
    duration_s: float,
    first: _First,
) -> StreamInfo:
    """Figures of a stream, and what its first messages say."""
    info = source.topics[topic]
    rate_hz = round((info.messages - 1) / duration_s, 2) if duration_s > 0.0 else 0.0
    messages = [message for _, message in first[kind]]
    note: tuple[str, str | None] = ("", None)
    if kind is StreamKind.IMAGE:
        note = image_note(messages[0], StreamKind.CAMERA_INFO in first)
    elif kind is StreamKind.CAMERA_INFO and StreamKind.IMAGE in first:
        note = camera_note(messages[0], first[StreamKind.IMAGE][0][1])
    elif kind in SEVERAL:
        note = SEVERAL[kind](messages)
    return StreamInfo(kind, topic, info.msgtype, info.messages, rate_hz, *note)


def _remarks(source: BagSource, first: _First) -> Iterator[str]:
    """What a run can do without, and what is odd at the start."""
    if source.remark:
        yield source.remark
    for kind, messages in first.items():
        log_ns, message = messages[0]
        offset_s = (log_ns - stamp_ns(message.header)) * 1e-9
        if abs(offset_s) > _OFFSET_S:
            yield f"{kind}: recorded {offset_s:+.1f} s from its header stamps; the stamps are used"
    if not knows_heading([message for _, message in first.get(StreamKind.ATTITUDE, [])]):
        yield "heading: no IMU with orientation; the course over ground is used, which a standing vehicle does not have"
    if StreamKind.MOTION not in first:
        yield "odometry: none; the position is not carried on between two fixes"
    if StreamKind.TRUTH_POSE not in first:
        yield "ground truth: none found; a replay cannot tell how wrong it is"


def _surveyed(reader: DriveReader) -> list[str]:
    """What only reading all of it tells."""
    try:
        said = reader.remarks()
        reader.check_truth()
    except BagError as error:
        return [str(error)]
    return said


def _map_beside(path: Path, manifest: DriveManifest | None) -> Path | None:
    """The map that the sidecar names or that is named after the recording, if there is one."""
    found = _beside(path, manifest.map) if manifest and manifest.map else path.with_suffix(".mbtiles")
    return found if found is not None and found.exists() else None


def _beside(path: Path, name: str) -> Path | None:
    """What a sidecar names, unless that lies elsewhere."""
    return None if Path(name).is_absolute() or ".." in Path(name).parts else path.parent / name


def _map_remarks(found_map: Path | None, first: _First) -> list[str]:
    if found_map is None:
        return ["map: none beside the recording; give one with --map"]
    try:
        with open_map(found_map) as source:
            bounds = source.info().bounds
    except MapError as error:
        return [f"map: {error}"]
    place = first_fix([message for _, message in first.get(StreamKind.FIX, [])])
    if place is not None and not bounds.contains(place):
        near = bounds.nearest(place)
        return [
            f"map: {found_map.name} does not hold the first fix, {place.latitude:.5f}, {place.longitude:.5f}; it ends "
            f"at {near.latitude:.5f}, {near.longitude:.5f}"
        ]
    return []


def _altered(path: Path, manifest: DriveManifest) -> list[str]:
    """Files that are gone or have another content than the sidecar says."""
    problems = []
    for name, digest in manifest.sha256.items():
        file = _beside(path, name)
        if file is None or not file.exists():
            problems.append(f"hashes: {name} is gone; copy it again")
        elif sha256_of(file) != digest:
            problems.append(f"hashes: {name} is not what the sidecar was written for; copy it again")
    return problems
