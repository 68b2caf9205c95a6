# SPDX-License-Identifier: Apache-2.0
"""The header stamps of a stream in the order of recording: which are wild, where they halt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

REORDER_NS = 1_000_000_000
"""Messages that come this much behind later ones are put in order; beyond that they are late."""
GAP_PERIODS = 5
MIN_GAP_NS = 1_000_000_000


def wild_stamps(stamps: Sequence[int]) -> frozenset[int]:
    """Indices of stamps that fit neither before nor after the rest: 1970 in mid-drive, or next year.

    The rest is the longest increasing subsequence. A stamp that lies more than `REORDER_NS` below what comes before
    it there, or above what comes after, is wild; one of a kind would otherwise make all that follow late.
    """
    kept = _longest_increasing(stamps)
    wild, next_kept = [], 0
    for index, stamp in enumerate(stamps):
        if next_kept < len(kept) and kept[next_kept] == index:
            next_kept += 1
            continue
        below = next_kept > 0 and stamp < stamps[kept[next_kept - 1]] - REORDER_NS
        above = next_kept < len(kept) and stamp > stamps[kept[next_kept]] + REORDER_NS
        if below or above:
            wild.append(index)
    return frozenset(wild)


def _longest_increasing(stamps: Sequence[int]) -> list[int]:
    """Indices of the longest strictly increasing subsequence (patience sorting)."""
    ends: list[int] = []
    piles: list[int] = []
    before = [-1] * len(stamps)
    for index, stamp in enumerate(stamps):
        pile = bisect_left(ends, stamp)
        before[index] = piles[pile - 1] if pile else -1
        if pile == len(ends):
            ends.append(stamp)
            piles.append(index)
        else:
            ends[pile], piles[pile] = stamp, index
    chain: list[int] = []
    index = piles[-1] if piles else -1
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]


def halts(ordered: Sequence[int]) -> list[tuple[int, int]]:
    """Where sorted stamps halt for over a second and five of their usual periods: last before, first after."""
    steps = [after - before for before, after in pairwise(ordered)]
    if not steps:
        return []
    limit_ns = max(MIN_GAP_NS, GAP_PERIODS * median(steps))
    return [(ordered[i], ordered[i + 1]) for i, step in enumerate(steps) if step > limit_ns]
