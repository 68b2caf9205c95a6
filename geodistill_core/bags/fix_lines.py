# SPDX-License-Identifier: Apache-2.0
"""Where a recorded drive went, by its GNSS fixes alone: a map is prepared before anything else is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyproj import Geod

from geodistill_core.bags.messages import fix_from
from geodistill_core.bags.source import open_bag
from geodistill_core.bags.topics import NAV_SAT_FIX
from geodistill_core.errors import BagError
from geodistill_core.localization.gnss import FixReading
from geodistill_core.types import Array

MAX_JUMP_M = 300.0
"""Fixes further apart than this are not joined: between them the drive was not recorded, or a fix is wrong."""
# A receiver gives fixes a centimetre apart while the vehicle waits.
_MIN_STEP_M = 2.0
_GEOD = Geod(ellps="WGS84")


def fix_lines(path: Path | str) -> list[Array]:
    """Lines through the usable fixes of every NavSatFix topic, each [N, 2] degrees (latitude, longitude), N > 1.

    A fix that no neighbour confirms, alone by more than `MAX_JUMP_M` on both sides, is left out.

    Raises:
        BagError: the recording cannot be read, or holds no usable fix.
    """
    source = open_bag(path)
    topics = [topic for topic, info in source.topics.items() if info.msgtype == NAV_SAT_FIX and info.messages]
    lines: dict[str, list[list[tuple[float, float]]]] = {topic: [] for topic in topics}
    for raw in source.messages(topics):
        fix = fix_from(source.decode(raw))
        if isinstance(fix, FixReading):
            _append(lines[raw.topic], (fix.latitude, fix.longitude))
    kept = [np.array(part) for parts in lines.values() for part in parts if len(part) > 1]
    if not kept:
        raise BagError(
            f"{source.path} holds no usable fix of type {NAV_SAT_FIX} on {', '.join(sorted(topics)) or 'any topic'}; "
            "give the area with --bbox or --route"
        )
    return kept


def _append(parts: list[list[tuple[float, float]]], place: tuple[float, float]) -> None:
    """Go on with the last line, or begin another."""
    if not parts:
        parts.append([place])
        return
    last = parts[-1][-1]
    step_m = _GEOD.inv(last[1], last[0], place[1], place[0])[2]
    if step_m > MAX_JUMP_M:
        parts.append([place])
    elif step_m >= _MIN_STEP_M or len(parts[-1]) == 1:
        parts[-1].append(place)
