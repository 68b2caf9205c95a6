# SPDX-License-Identifier: Apache-2.0
"""Ground truth at any stamp, interpolated between the poses that state it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from geodistill_core.datasets.truth import Truth
from geodistill_core.errors import BagError
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint

MAX_GAP_S = 0.5
MAX_OFFSET_M = 100_000.0


class TruthPose(NamedTuple):
    """Where the base was at a stamp: metres east and north of a datum, ENU yaw."""

    stamp_ns: int
    east_m: float
    north_m: float
    yaw_enu_rad: float


class TruthTrack:
    """Poses round a datum, in any order; of several with one stamp the first counts.

    Between two poses that lie further apart than `max_gap_s` nothing is known. `name` is what errors call it.

    Raises:
        BagError: a pose lies over 100 km from the datum.
    """

    def __init__(self, poses: Iterable[TruthPose], datum: GeoPoint, name: str, max_gap_s: float = MAX_GAP_S) -> None:
        self.name, self._frame, self._max_gap_ns = name, LocalFrame(datum), round(max_gap_s * 1e9)
        by_stamp: dict[int, TruthPose] = {}
        for pose in poses:
            by_stamp.setdefault(pose.stamp_ns, pose)
        self.poses = [by_stamp[stamp] for stamp in sorted(by_stamp)]
        self.stamps = [pose.stamp_ns for pose in self.poses]
        far = next((pose for pose in self.poses if not max(abs(pose.east_m), abs(pose.north_m)) <= MAX_OFFSET_M), None)
        if far is not None:
            raise BagError(
                f"{name} has a pose {far.east_m:.0f} m east and {far.north_m:.0f} m north of its datum, limit "
                f"{MAX_OFFSET_M:.0f} m; give the poses in metres east and north of the datum (UTM is neither)"
            )

    @property
    def datum(self) -> GeoPoint:
        """Where the poses' metres count from."""
        return self._frame.origin

    def covers(self, stamp_ns: int) -> bool:
        """Whether the truth is known at a stamp."""
        return self._around(stamp_ns) is not None

    def at(self, stamp_ns: int) -> Truth | None:
        """Interpolated truth; None outside the track and in its gaps."""
        around = self._around(stamp_ns)
        if around is None:
            return None
        before, after = around
        share = (stamp_ns - before.stamp_ns) / max(after.stamp_ns - before.stamp_ns, 1)
        east_m = before.east_m + share * (after.east_m - before.east_m)
        north_m = before.north_m + share * (after.north_m - before.north_m)
        yaw = before.yaw_enu_rad
        if share > 0.0:
            yaw = wrap(yaw + share * wrap(after.yaw_enu_rad - yaw))
        latitude, longitude = self._frame.to_geodetic(east_m, north_m)
        return Truth(latitude, longitude, yaw)

    def _around(self, stamp_ns: int) -> tuple[TruthPose, TruthPose] | None:
        """The poses to interpolate between; twice the same at the very stamp of one."""
        next_index = bisect_right(self.stamps, stamp_ns)
        if next_index == 0:
            return None
        before = self.poses[next_index - 1]
        if before.stamp_ns == stamp_ns:
            return before, before
        if next_index == len(self.poses) or self.stamps[next_index] - before.stamp_ns > self._max_gap_ns:
            return None
        return before, self.poses[next_index]
