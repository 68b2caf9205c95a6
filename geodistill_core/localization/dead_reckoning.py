# SPDX-License-Identifier: Apache-2.0
"""Planar dead reckoning: where the vehicle went between two stamps, from speed and yaw rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from geodistill_core.localization.readings import MotionReading


@dataclass(frozen=True, slots=True)
class Displacement:
    """What dead reckoning says happened in an interval; `uncovered_s` is the time without motion readings."""

    east_m: float
    north_m: float
    distance_m: float
    yaw_change_rad: float
    uncovered_s: float


def displacement(
    motions: Sequence[MotionReading], from_ns: int, to_ns: int, yaw_end_enu_rad: float, max_gap_ns: int
) -> Displacement:
    """Integrate `motions` (ascending stamps) over [from_ns, to_ns], anchored at the heading at the end.

    Speed and rate are interpolated between neighbours at most `max_gap_ns` apart and held for at most that
    long before the first and after the last; the rest of the interval counts as uncovered.
    """
    east = north = distance = turned = covered_s = 0.0
    for duration_s, speed, rate in _pieces_backward(motions, from_ns, to_ns, max_gap_ns):
        yaw = yaw_end_enu_rad - turned - 0.5 * rate * duration_s
        east += speed * duration_s * math.cos(yaw)
        north += speed * duration_s * math.sin(yaw)
        distance += abs(speed) * duration_s
        turned += rate * duration_s
        covered_s += duration_s
    return Displacement(east, north, distance, turned, max(0.0, (to_ns - from_ns) * 1e-9 - covered_s))


def _pieces_backward(
    motions: Sequence[MotionReading], from_ns: int, to_ns: int, max_gap_ns: int
) -> Iterator[tuple[float, float, float]]:
    """Covered pieces of the interval, newest first: duration in s, mean speed, mean yaw rate."""
    end: MotionReading | None = None
    for start in reversed(motions):
        if end is None:
            end = replace(start, stamp_ns=start.stamp_ns + max_gap_ns)
        if end.stamp_ns - start.stamp_ns <= max_gap_ns:
            yield from _piece(start, end, from_ns, to_ns)
        if start.stamp_ns <= from_ns:
            return
        end = start
    if end is not None:
        yield from _piece(replace(end, stamp_ns=end.stamp_ns - max_gap_ns), end, from_ns, to_ns)


def _piece(start: MotionReading, end: MotionReading, from_ns: int, to_ns: int) -> Iterator[tuple[float, float, float]]:
    """The part of [start, end] within the interval, if any, with speed and rate at its middle."""
    begin_ns, finish_ns = max(start.stamp_ns, from_ns), min(end.stamp_ns, to_ns)
    if finish_ns <= begin_ns:
        return
    share = ((begin_ns - start.stamp_ns) + (finish_ns - start.stamp_ns)) / 2 / (end.stamp_ns - start.stamp_ns)
    speed = start.speed_mps + share * (end.speed_mps - start.speed_mps)
    rate = start.yaw_rate_radps + share * (end.yaw_rate_radps - start.yaw_rate_radps)
    yield (finish_ns - begin_ns) * 1e-9, speed, rate
