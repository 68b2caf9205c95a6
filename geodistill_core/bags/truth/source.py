# SPDX-License-Identifier: Apache-2.0
"""Where the ground truth of a drive comes from: a topic of the bag, or a trajectory file."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodistill_core.bags.messages import euler, fix_from, stamp_ns, unit_quaternion
from geodistill_core.bags.topics import NAV_SAT_FIX, POSE_STAMPED, TYPES, UNUSED, StreamKind, TopicError, describe
from geodistill_core.bags.truth.course import REACH_M, courses
from geodistill_core.bags.truth.track import MAX_GAP_S, TruthPose, TruthTrack
from geodistill_core.bags.truth.tum import read_tum
from geodistill_core.errors import BagError, ConfigError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization.gnss import FixReading
from geodistill_core.types import GeoPoint

MAX_TRUTH_GAP_S = 60.0
TRUTH_KINDS = (StreamKind.TRUTH_POSE, StreamKind.TRUTH_DATUM)


@dataclass(frozen=True, slots=True)
class TruthOptions:
    """`source` is a topic or a TUM file, by default the bag's /ground_truth/. `datum` is the origin of poses in
    metres, by default the bag's /ground_truth/datum. `offset_s` is added to the truth's stamps; between poses that
    lie over `max_gap_s` apart the truth is unknown."""

    source: str | None = None
    datum: GeoPoint | None = None
    offset_s: float = 0.0
    max_gap_s: float = MAX_GAP_S

    def __post_init__(self) -> None:
        if not 0.0 < self.max_gap_s <= MAX_TRUTH_GAP_S:
            raise ConfigError(f"truth gap {self.max_gap_s} s is outside (0, {MAX_TRUTH_GAP_S:.0f}]")
        if not math.isfinite(self.offset_s):
            raise ConfigError(f"truth offset {self.offset_s} s is not finite")

    def chosen(self, found: Mapping[str, str]) -> dict[StreamKind, str]:
        """The truth's topic among those of a bag (with their types), or that no topic of it is used.

        Raises:
            TopicError: the source is neither a topic of a type that can be truth nor a file.
        """
        if self.source is None:
            return {}
        if self.source in found:
            return {StreamKind.TRUTH_POSE: self.source}
        if Path(self.source).is_file():
            return {StreamKind.TRUTH_POSE: UNUSED}
        fitting = {topic: name for topic, name in found.items() if name in TYPES[StreamKind.TRUTH_POSE]}
        raise TopicError(
            f"{self.source} for the truth is neither a TUM file nor a topic of the bag; it holds {describe(fitting)}"
        )

    def file(self, found: Mapping[str, str]) -> Path | None:
        """The trajectory file, where the source is one and no topic."""
        return Path(self.source) if self.source is not None and self.source not in found else None


class TruthMessages:
    """Collects the truth while a bag is read; `track` then is what came together."""

    def __init__(self, topics: Mapping[StreamKind, str], types: Mapping[str, str], options: TruthOptions) -> None:
        self._topic = topics.get(StreamKind.TRUTH_POSE)
        self._msgtype = types.get(self._topic, "") if self._topic else ""
        self._file = options.file(types)
        self._options, self._datum = options, options.datum
        self._poses: list[tuple[int, TruthPose]] = []
        self._fixes: list[tuple[int, FixReading]] = []
        self.refused = 0
        if self._needs_datum and self._datum is None and StreamKind.TRUTH_DATUM not in topics:
            raise BagError(
                f"{self._file or self._topic} lacks its datum, the place on earth from which its metres count: "
                "record a NavSatFix on /ground_truth/datum, or state it with --truth-datum LATITUDE,LONGITUDE"
            )

    @property
    def _needs_datum(self) -> bool:
        return self._file is not None or self._msgtype not in ("", NAV_SAT_FIX)

    def take(self, kind: StreamKind, number: int, message: Any) -> None:
        """A decoded message of the truth, the `number`-th of its topic."""
        if kind is StreamKind.TRUTH_DATUM:
            if self._datum is None and abs(message.latitude) <= 90.0 and math.isfinite(message.longitude):
                self._datum = GeoPoint(float(message.latitude), float(message.longitude))
        elif self._msgtype == NAV_SAT_FIX:
            fix = fix_from(message)
            if isinstance(fix, FixReading):
                self._fixes.append((number, fix))
            else:
                self.refused += 1
        else:
            pose = (message if self._msgtype == POSE_STAMPED else message.pose).pose
            x, y, quaternion = float(pose.position.x), float(pose.position.y), unit_quaternion(pose.orientation)
            if quaternion is None or not (math.isfinite(x) and math.isfinite(y)):
                self.refused += 1
            else:
                self._poses.append((number, TruthPose(stamp_ns(message.header), x, y, euler(*quaternion)[2])))

    def track(self, wild: Collection[int]) -> TruthTrack | None:
        """The truth without messages of wild stamps; None where there is no source.

        Raises:
            BagError: the source holds no usable truth, or its datum none.
        """
        name = self._file.name if self._file is not None else self._topic
        if name is None:
            return None
        if self._msgtype == NAV_SAT_FIX and self._file is None:
            poses, datum = self._from_fixes([fix for number, fix in self._fixes if number not in wild], name)
        else:
            poses = read_tum(self._file) if self._file else [p for number, p in self._poses if number not in wild]
            datum = self._datum
        if datum is None or not poses:
            raise BagError(
                f"{name} holds no usable {'truth' if datum else 'datum'}; correct it, or choose another truth"
            )
        shift_ns = round(self._options.offset_s * 1e9)
        shifted = [pose._replace(stamp_ns=pose.stamp_ns + shift_ns) for pose in poses]
        return TruthTrack(shifted, datum, name, self._options.max_gap_s)

    def _from_fixes(self, fixes: list[FixReading], name: str) -> tuple[list[TruthPose], GeoPoint | None]:
        """Positions of a receiver and the headings that its path implies."""
        if not fixes:
            return [], GeoPoint(0.0, 0.0)
        fixes = sorted(fixes, key=lambda fix: fix.stamp_ns)
        datum, stamps = GeoPoint(fixes[0].latitude, fixes[0].longitude), [fix.stamp_ns for fix in fixes]
        degrees = np.array([(fix.latitude, fix.longitude) for fix in fixes])
        east_m, north_m = (metres.tolist() for metres in LocalFrame(datum).to_enu(degrees[:, 0], degrees[:, 1]))
        placed = zip(stamps, east_m, north_m, courses(stamps, east_m, north_m), strict=True)
        poses = [TruthPose(stamp, east, north, yaw) for stamp, east, north, yaw in placed if yaw is not None]
        if not poses:
            raise BagError(f"{name} never moves {REACH_M} m, so it implies no heading; choose another truth")
        return poses, datum
