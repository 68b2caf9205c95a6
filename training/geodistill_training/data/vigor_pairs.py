# SPDX-License-Identifier: Apache-2.0
"""VIGOR as a set of examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from geodistill_core.datasets.check.leak import GroundPlaces
from geodistill_core.datasets.vigor.images import ground_image, map_tile
from geodistill_core.datasets.vigor.labels import TILE_PX, VigorSample
from geodistill_core.datasets.vigor.pairs import turned_yaw_enu_rad
from geodistill_core.datasets.vigor.splits import (
    ccvpe_split,
    read_adaptation_split,
    read_predefined_turns,
    read_split,
    weak_split,
)
from geodistill_core.errors import DatasetError
from geodistill_core.evaluation.datasets.tiles import metric_tile, whole_tile
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import Array
from geodistill_training.data.examples import Example, prepare
from geodistill_training.recipe.data import VigorData

_GROUPS = range(4)
# Names are rounded to 0.1 m and differ from corrected labels by as much.
_RIM_M = 1.0


class VigorPairs:
    """Panoramas with one of their tiles; the truth is None unless `labels`, and labels are read for nothing else.

    Raises:
        DatasetError: a list is missing or malformed, or holds no sample of the cities asked for.
    """

    def __init__(self, data: VigorData, network: AnyNetwork, labels: bool = False) -> None:
        self.data, self.network, self.labels = data, network, labels
        listed = read_split(data.root, data.area, data.listed, data.labels)
        rows = [int(row) for row in _rows(data, len(listed)) if data.cities is None or listed[row].city in data.cities]
        if not rows:
            raise DatasetError(f"the {data.part} part of {data.root} holds no sample of {data.cities}")
        self.samples = [listed[row] for row in rows]
        self._turns = None if data.turns_file is None else read_predefined_turns(data.turns_file, len(listed))[rows]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def groups(self) -> Sequence[str]:
        """Each city is a plane of its own."""
        return [sample.city for sample in self.samples]

    @property
    def looks(self) -> Sequence[str]:
        """One look: published batches mix the cities."""
        return ["vigor"] * len(self)

    @cached_property
    def places_m(self) -> Array:
        """Centres of the positive tiles on each city's plane."""
        places, planes = np.empty((len(self), 2)), np.asarray(self.groups)
        for city in set(self.groups):
            rows = np.flatnonzero(planes == city)
            centers = [self.samples[row].tile_center() for row in rows]
            degrees = np.array([(center.latitude, center.longitude) for center in centers])
            places[rows] = np.stack(LocalFrame(centers[0]).to_enu(degrees[:, 0], degrees[:, 1]), axis=1)
        return places

    @cached_property
    def ground_places(self) -> GroundPlaces:
        """The panoramas and where they were taken, for `refuse_leak`."""
        points = [sample.panorama_point for sample in self.samples]
        return GroundPlaces(
            tuple(f"{sample.city}/{sample.panorama_name}" for sample in self.samples),
            np.array([(point.latitude, point.longitude) for point in points]),
        )

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """See `ExampleSet`; the partner, the turn and the heading's noise are drawn at every call."""
        sample, data = self.samples[index], self.data
        group = int(rng.choice(_groups_on_tile(sample))) if data.partners == "semi" else 0
        image, turn = ground_image(sample, self._turn(index, rng), data.camera_height_m)
        yaw = turned_yaw_enu_rad(turn)
        noise = math.radians(float(rng.uniform(-1.0, 1.0)) * data.heading_noise_deg)
        tile = map_tile(sample, group)
        whole = data.tiles == "whole" and self.network.map_size_px is not None
        fitted = whole_tile(tile, self.network) if whole else metric_tile(tile, self.network, data.tile_extent_m)
        truth = np.array([*sample.camera_east_north_m(group), yaw]) if self.labels else None
        key = f"{sample.city}/{sample.panorama_name}/{group}"
        return prepare(self.network, image, fitted, wrap(yaw + noise), truth, key)

    def _turn(self, index: int, rng: np.random.Generator) -> float:
        if self._turns is not None:
            return float(self._turns[index])
        return float(rng.uniform(-1.0, 1.0)) * self.data.turn_deg / 360.0


def _rows(data: VigorData, count: int) -> Array:
    """Which samples of the published list belong to the part, in the published order."""
    if data.division == "adaptation":
        assert data.order_file is not None
        parts = read_adaptation_split(data.order_file, count)
        return parts[("train", "validation", "test").index(data.part)]
    if data.part == "test":
        return np.arange(count)
    train, validation = (weak_split if data.division == "weak" else ccvpe_split)(count)
    return train if data.part == "train" else validation


def _groups_on_tile(sample: VigorSample) -> list[int]:
    """The tiles on which the panorama's name says that it lies; the positive always."""
    half_m = sample.metres_per_pixel * TILE_PX / 2 - _RIM_M
    named, found = sample.panorama_point, [0]
    for group in _GROUPS[1:]:
        offset_m = LocalFrame(sample.tile_center(group)).to_enu(named.latitude, named.longitude)
        if max(abs(offset_m[0]), abs(offset_m[1])) <= half_m:
            found.append(group)
    return found
