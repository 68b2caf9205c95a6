# SPDX-License-Identifier: Apache-2.0
"""Whether what is judged was learned from: the same ground image in two lists, or images of the same ground."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pyproj import Transformer

from geodistill_core.errors import DatasetError
from geodistill_core.types import Array

NEAR_M = 50.0
_NEIGHBOURS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True, slots=True)
class GroundPlaces:
    """The ground images of a list: `names` and WGS-84 degrees `latitude_longitude` [N, 2]."""

    names: tuple[str, ...]
    latitude_longitude: Array


@dataclass(frozen=True, slots=True)
class Overlap:
    """`shared` names are in both lists; `near` test images lie within `within_m` of a training image.

    `nearest_m` is the smallest such distance, between the (training, test) images `nearest`; None where none is near.
    """

    shared: tuple[str, ...]
    near: int
    within_m: float
    nearest_m: float | None = None
    nearest: tuple[str, str] | None = None


def find_overlap(train: GroundPlaces, test: GroundPlaces, within_m: float = NEAR_M) -> Overlap:
    """What two lists have in common; images of one name are `shared` and not counted as near."""
    shared = tuple(sorted(set(train.names) & set(test.names)))
    known = set(shared)
    learned, judged = _earth_centred_m(train), _earth_centred_m(test)
    cells: dict[tuple[int, ...], list[int]] = {}
    for row, cell in enumerate(_cells(learned, within_m)):
        cells.setdefault(cell, []).append(row)
    near, nearest_m, nearest = 0, within_m, None
    for row, cell in enumerate(_cells(judged, within_m)):
        if test.names[row] in known:
            continue
        around = [at for step in _NEIGHBOURS for at in cells.get(tuple((cell + step).tolist()), ())]
        if not around:
            continue
        apart_m = np.linalg.norm(learned[around] - judged[row], axis=1)
        closest = int(apart_m.argmin())
        if apart_m[closest] < within_m:
            near += 1
            if apart_m[closest] < nearest_m or nearest is None:
                nearest_m, nearest = float(apart_m[closest]), (train.names[around[closest]], test.names[row])
    return Overlap(shared, near, within_m, nearest_m if nearest else None, nearest)


def refuse_leak(train: GroundPlaces, test: GroundPlaces, least_m: float | None = NEAR_M) -> Overlap:
    """Refuse to judge on what was learned from.

    No ground image may be in both lists, and none of `test` nearer than `least_m` to one of `train`; None allows
    nearness, which same-area splits have by design. Returns what is near all the same.

    Raises:
        DatasetError: the lists leak; the message counts and names.
    """
    overlap = find_overlap(train, test, NEAR_M if least_m is None else least_m)
    text = leak_text(overlap, near_is_leak=least_m is not None)
    if text is not None:
        raise DatasetError(f"training and test leak: {text}; divide them again, or use the published lists")
    return overlap


def leak_text(overlap: Overlap, near_is_leak: bool) -> str | None:
    """What leaks, in words; None where nothing does."""
    parts = []
    if overlap.shared:
        parts.append(f"{len(overlap.shared)} ground images are in both (first: {overlap.shared[0]})")
    if near_is_leak and overlap.near and overlap.nearest is not None:
        parts.append(
            f"{overlap.near} test images lie within {overlap.within_m:g} m of training images "
            f"(nearest: {overlap.nearest[1]} is {overlap.nearest_m:.1f} m from {overlap.nearest[0]})"
        )
    return " and ".join(parts) or None


@lru_cache(maxsize=1)
def _geocentric() -> Transformer:
    return Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84"
    )


def _earth_centred_m(places: GroundPlaces) -> Array:
    """Positions [N, 3]; a chord is shorter than its arc by less than a micrometre over 50 m."""
    degrees = np.asarray(places.latitude_longitude, np.float64).reshape(-1, 2)
    return np.stack(_geocentric().transform(degrees[:, 1], degrees[:, 0], np.zeros(len(degrees))), axis=1)


def _cells(positions_m: Array, side_m: float) -> list[tuple[int, ...]]:
    return [tuple(cell) for cell in np.floor(positions_m / side_m).astype(int).tolist()]
