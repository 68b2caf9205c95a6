# SPDX-License-Identifier: Apache-2.0
"""Recorded ground truth, interpolated at any stamp."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from geodistill_core.bags.messages import stamp_ns, yaw_of
from geodistill_core.datasets.truth import Truth
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import GeoPoint

MAX_GAP_NS = 500_000_000


class TruthTrack:
    """Poses in the map frame round a datum; both may arrive while stamps are being asked for."""

    def __init__(self) -> None:
        self._frame: LocalFrame | None = None
        self._stamps: list[int] = []
        self._poses: list[tuple[float, float, float]] = []

    def set_datum(self, msg: Any) -> None:
        """Take the first `NavSatFix` of the datum."""
        if self._frame is None:
            self._frame = LocalFrame(GeoPoint(float(msg.latitude), float(msg.longitude)))

    def add_pose(self, msg: Any) -> None:
        """Take a `PoseStamped`; one that is not newer than the last is ignored."""
        stamp = stamp_ns(msg.header)
        if not self._stamps or stamp > self._stamps[-1]:
            position = msg.pose.position
            self._stamps.append(stamp)
            self._poses.append((float(position.x), float(position.y), yaw_of(msg.pose.orientation)))

    def at(self, stamp: int) -> Truth | None:
        """Interpolated truth; None without a datum, outside the track, and in gaps of over half a second."""
        after = bisect_right(self._stamps, stamp)
        if self._frame is None or after == 0:
            return None
        if self._stamps[after - 1] == stamp:
            east, north, yaw = self._poses[after - 1]
        elif after == len(self._stamps) or self._stamps[after] - self._stamps[after - 1] > MAX_GAP_NS:
            return None
        else:
            (east, north, yaw), (east_1, north_1, yaw_1) = self._poses[after - 1 : after + 1]
            share = (stamp - self._stamps[after - 1]) / (self._stamps[after] - self._stamps[after - 1])
            east, north = east + share * (east_1 - east), north + share * (north_1 - north)
            yaw = wrap(yaw + share * wrap(yaw_1 - yaw))
        latitude, longitude = self._frame.to_geodetic(east, north)
        return Truth(latitude, longitude, yaw)
