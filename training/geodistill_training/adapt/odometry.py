# SPDX-License-Identifier: Apache-2.0
"""What the wheels say happened between any two stamps of a drive."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from geodistill_core.bags.events import by_stamp, recorded_events
from geodistill_core.bags.messages import motion_from
from geodistill_core.bags.reader import DriveReader
from geodistill_core.bags.topics import StreamKind
from geodistill_core.errors import BagError
from geodistill_core.localization.dead_reckoning import Displacement, displacement
from geodistill_core.localization.readings import MotionReading
from geodistill_core.localization.streams import Stream


class Odometry:
    """All motion readings of a drive.

    Raises:
        BagError: it has none.
    """

    def __init__(self, reader: DriveReader) -> None:
        topic = reader.topics.get(StreamKind.MOTION)
        if topic is None:
            raise BagError(
                f"{reader.path} has no odometry, by which an adapted network is judged; record a nav_msgs/Odometry"
            )
        stream: Stream[MotionReading] = Stream("motion")
        self._motions: list[MotionReading] = []
        for event in by_stamp(recorded_events(reader.source, {StreamKind.MOTION: topic})):
            reading = motion_from(event.message)
            if stream.push(reading):
                self._motions.append(reading)
        self._stamps = [motion.stamp_ns for motion in self._motions]
        self._gap_ns = int(reader.options.buffer.max_motion_gap_s * 1e9)

    def between(self, from_ns: int, to_ns: int, yaw_end_enu_rad: float) -> Displacement:
        """Dead reckoning over an interval, anchored at the heading at its end."""
        first = max(0, bisect_right(self._stamps, from_ns) - 1)
        last = bisect_left(self._stamps, to_ns) + 1
        return displacement(self._motions[first:last], from_ns, to_ns, yaw_end_enu_rad, self._gap_ns)
