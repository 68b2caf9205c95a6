# SPDX-License-Identifier: Apache-2.0
"""What a recording holds for a localization run, and what it lacks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from geodistill_core.bags.frames import is_panorama_size
from geodistill_core.bags.images import ImageError, encoded_size
from geodistill_core.bags.manifest import DriveManifest, load_manifest
from geodistill_core.bags.messages import AttitudeReject, attitude_from, fix_from
from geodistill_core.bags.source import BagSource, open_bag
from geodistill_core.bags.topics import IMAGE_RAW, StreamKind, find_topics
from geodistill_core.localization.gnss import FixReject

_SAMPLED = 50
_NO_HEADING = "heading: no IMU with orientation; take the course over ground as heading source"


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
    """A recording at a glance; it can be localized when nothing is `missing`."""

    path: Path
    duration_s: float
    streams: tuple[StreamInfo, ...]
    other_topics: tuple[str, ...]
    missing: tuple[str, ...]
    manifest: DriveManifest | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": str(self.path),
            "duration_s": round(self.duration_s, 3),
            "streams": [asdict(stream) | {"kind": str(stream.kind)} for stream in self.streams],
            "other_topics": list(self.other_topics),
            "missing": list(self.missing),
            "ready": not self.missing,
            "sidecar": self.manifest.model_dump(exclude_none=True) if self.manifest else None,
        }


def inspect_bag(path: Path | str) -> BagInfo:
    """Look into a recording without reading all of it; raises BagError where it cannot be opened."""
    source = open_bag(path)
    topics, missing = find_topics({t: info.msgtype for t, info in source.topics.items() if info.messages})
    duration_s = max(0.0, (source.end_ns - source.start_ns) * 1e-9)
    pinhole = StreamKind.CAMERA_INFO in topics
    streams = tuple(_stream(source, kind, topic, duration_s, pinhole) for kind, topic in topics.items())
    missing += [stream.problem for stream in streams if stream.problem is not None]
    if StreamKind.ATTITUDE not in topics:
        missing.append(_NO_HEADING)
    manifest = load_manifest(source.path)
    if manifest is None:
        missing.append("camera mount: no sidecar with T_base_camera; give the camera height")
    others = tuple(sorted(set(source.topics) - set(topics.values())))
    return BagInfo(source.path, duration_s, streams, others, tuple(missing), manifest)


def _stream(source: BagSource, kind: StreamKind, topic: str, duration_s: float, pinhole: bool) -> StreamInfo:
    """Figures of a stream, and what its first messages say."""
    info = source.topics[topic]
    rate_hz = round((info.messages - 1) / duration_s, 2) if duration_s > 0.0 else 0.0
    note: tuple[str, str | None] = ("", None)
    if kind is StreamKind.IMAGE:
        note = _image_note(source.decode(next(source.messages([topic]))), info.msgtype, pinhole)
    elif kind in (StreamKind.FIX, StreamKind.ATTITUDE):
        first = [source.decode(raw) for raw in islice(source.messages([topic]), _SAMPLED)]
        note = _fix_note(first) if kind is StreamKind.FIX else _attitude_note(first)
    return StreamInfo(kind, topic, info.msgtype, info.messages, rate_hz, *note)


def _image_note(message: Any, msgtype: str, pinhole: bool) -> tuple[str, str | None]:
    if msgtype == IMAGE_RAW:
        width, height, form = int(message.width), int(message.height), message.encoding
    else:
        form = "compressed"
        try:
            width, height = encoded_size(message.data)
        except ImageError as error:
            return "unreadable", f"image: {error}"
    note = f"{width} x {height} {form}, {'pinhole' if pinhole else 'panorama'}"
    if pinhole or is_panorama_size(width, height):
        return note, None
    return note, f"camera model: {width} x {height} is no 2:1 panorama; record the CameraInfo"


def _fix_note(messages: list[Any]) -> tuple[str, str | None]:
    read = [fix_from(message) for message in messages]
    usable = next((fix for fix in read if not isinstance(fix, FixReject)), None)
    if usable is None:
        return f"refused: {read[0]}", f"GNSS: no usable fix at the start ({read[0]})"
    return f"sigma {usable.sigma_m:.1f} m ({usable.sigma_source})", None


def _attitude_note(messages: list[Any]) -> tuple[str, str | None]:
    read = [attitude_from(message) for message in messages]
    usable = next((attitude for attitude in read if not isinstance(attitude, AttitudeReject)), None)
    if usable is None:
        return f"refused: {read[0]}", _NO_HEADING
    return f"heading sigma {math.degrees(usable.sigma_yaw_rad):.1f} deg", None
