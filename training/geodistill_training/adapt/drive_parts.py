# SPDX-License-Identifier: Apache-2.0
"""Which frames of a drive are used, which of them are learned from and which are kept back to judge by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geodistill_core.bags.reader import DriveFrame, DriveReader
from geodistill_core.errors import BagError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.types import Array
from geodistill_training.adapt.odometry import Odometry
from geodistill_training.recipe.bag import BagData

_EVERY = 5


@dataclass(frozen=True, slots=True)
class DriveParts:
    """Stamps of the frames that are `learned` from and, block after block, `held` out; `dropped` lie in between."""

    learned: tuple[int, ...]
    held: tuple[tuple[int, ...], ...]
    dropped: int


def spaced_frames(reader: DriveReader, odometry: Odometry, spacing_m: float) -> Iterator[tuple[DriveFrame, float]]:
    """Frames with a prior at least `spacing_m` of way apart, and the way driven up to each."""
    last_ns, along_m = None, 0.0
    for frame in reader.frames():
        if frame.frame_prior is None:
            continue
        yaw = frame.frame_prior.prior.yaw_enu_rad
        since_m = 0.0 if last_ns is None else odometry.between(last_ns, frame.stamp_ns, yaw).distance_m
        if last_ns is None or since_m >= spacing_m:
            last_ns, along_m = frame.stamp_ns, along_m + since_m
            yield frame, along_m


def divide_drive(reader: DriveReader, odometry: Odometry, data: BagData) -> DriveParts:
    """Divide a drive as the recipe says; see `BagData`.

    Raises:
        BagError: nothing is left to learn from.
    """
    stamps, along_m, points = [], [], []
    for frame, way_m in spaced_frames(reader, odometry, data.spacing_m):
        assert frame.frame_prior is not None
        stamps.append(frame.stamp_ns)
        along_m.append(way_m)
        points.append(frame.frame_prior.prior.point)
    if len(stamps) < _EVERY:
        raise BagError(f"{reader.path} has {len(stamps)} frames {data.spacing_m:g} m apart; record a longer drive")
    degrees = np.array([(point.latitude, point.longitude) for point in points])
    places = np.stack(LocalFrame(points[0]).to_enu(*degrees.T), axis=1)
    thinned = np.unique(np.linspace(0, len(stamps) - 1, min(len(stamps), data.most_frames)).round().astype(int))
    parts = divide(np.array(stamps)[thinned], np.array(along_m)[thinned], places[thinned], data)
    if not parts.learned or not parts.held:
        raise BagError(
            f"{reader.path}: {len(stamps)} frames over {along_m[-1]:.0f} m leave {len(parts.learned)} to learn from "
            f"beside a held-out part and {data.gap_m:g} m around it; record a longer drive or lower gap_m"
        )
    return parts


def divide(stamps: Array, along_m: Array, places_m: Array, data: BagData) -> DriveParts:
    """Divide frames with stamps [N], ways driven [N] and places [N, 2]; a road driven twice is not learned from."""
    length_m = float(along_m[-1] - along_m[0])
    blocks = _EVERY * max(1, round(length_m / data.block_m / _EVERY))
    share = (along_m - along_m[0]) / max(length_m, 1e-9)
    block = np.minimum((share * blocks).astype(int), blocks - 1)
    held = block % _EVERY == _EVERY - 1
    apart_m = np.linalg.norm(places_m[:, None] - places_m[None, held], axis=2).min(axis=1, initial=np.inf)
    learned = ~held & (apart_m > data.gap_m)
    return DriveParts(
        tuple(stamps[learned].tolist()),
        tuple(tuple(stamps[block == b].tolist()) for b in range(_EVERY - 1, blocks, _EVERY) if (block == b).any()),
        int((~held & ~learned).sum()),
    )
