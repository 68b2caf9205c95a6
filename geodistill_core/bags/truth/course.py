# SPDX-License-Identifier: Apache-2.0
"""The heading that a track of positions implies: the chord through the places just behind and just ahead.

A receiver alone does not say where the vehicle looks. Its path does, as long as it drives forwards; a vehicle that
stands keeps the heading with which it came and will go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

REACH_M = 1.5
"""How far behind and ahead; with fixes good to 2 cm the course is good to half a degree."""
MAX_REACH_M, MAX_REACH_NS = 6.0, 1_500_000_000
"""A neighbour further away than both says nothing: the track has a hole there, and the road may have turned in it."""
_STANDING_M = 0.1 * REACH_M


def courses(stamps_ns: Sequence[int], east_m: Sequence[float], north_m: Sequence[float]) -> list[float | None]:
    """ENU course at each position of a track in order of time, None where it has no neighbour to tell by."""
    count = len(stamps_ns)
    track = list(zip(stamps_ns, east_m, north_m, strict=True))
    behind, ahead = _reached(track, range(count)), _reached(track, range(count - 1, -1, -1))
    found: list[float | None] = []
    for index in range(count):
        _, east_0, north_0 = track[behind.get(index, index)]
        _, east_1, north_1 = track[ahead.get(index, index)]
        moved = (east_0, north_0) != (east_1, north_1)
        found.append(math.atan2(north_1 - north_0, east_1 - east_0) if moved else None)
    return found


def _reached(track: Sequence[tuple[int, float, float]], order: range) -> dict[int, int]:
    """For each position the last one before it, in this order, that lies `REACH_M` away."""
    found: dict[int, int] = {}
    trail: list[int] = []
    for index in order:
        for earlier in reversed(trail):
            distance_m = math.dist(track[index][1:], track[earlier][1:])
            if distance_m >= REACH_M:
                if distance_m <= MAX_REACH_M or abs(track[index][0] - track[earlier][0]) <= MAX_REACH_NS:
                    found[index] = earlier
                break
        # where the vehicle stands, one position speaks for all of them
        if not trail or math.dist(track[index][1:], track[trail[-1]][1:]) > _STANDING_M:
            trail.append(index)
    return found
