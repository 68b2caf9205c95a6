# SPDX-License-Identifier: Apache-2.0
"""KITTI as a set of examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from geodistill_core.datasets.check.leak import GroundPlaces
from geodistill_core.datasets.kitti.frames import Displacement, KittiFrame, draw_displacement, list_file, read_frames
from geodistill_core.datasets.kitti.images import PlacedTile, aligned_tile, ground_image, north_up_tile
from geodistill_core.datasets.kitti.pairs import SHIFT_RANGE_M
from geodistill_core.datasets.kitti.records import read_oxts
from geodistill_core.errors import DatasetError
from geodistill_core.evaluation.datasets.tiles import aligned_side_px, metric_tile, read_extent_m
from geodistill_core.geometry.angles import wrap
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import Array, GeoPoint
from geodistill_training.data.examples import Example, prepare
from geodistill_training.recipe.data import KittiData

_REGION = "karlsruhe"


class KittiPairs:
    """Frames with a displaced satellite tile; the truth is None unless `labels`.

    Raises:
        DatasetError: the list is missing or malformed, or a test list prescribes no displacement.
    """

    def __init__(self, data: KittiData, network: AnyNetwork, labels: bool = False) -> None:
        self.data, self.network, self.labels = data, network, labels
        path = list_file(data.lists or data.root, data.part)
        self.frames = read_frames(path, data.root)
        bare = [frame.name for frame in self.frames if frame.displacement is None]
        if bare and data.part != "train":
            raise DatasetError(f"{path} prescribes no displacement for {bare[0]}; use the published test lists")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def groups(self) -> Sequence[str]:
        """One group: drives of other days pass the same streets."""
        return [_REGION] * len(self)

    @property
    def looks(self) -> Sequence[str]:
        """One look: one town, one camera."""
        return [_REGION] * len(self)

    @cached_property
    def places_m(self) -> Array:
        """Where the inertial unit says it was, on one plane."""
        degrees = self.ground_places.latitude_longitude
        frame = LocalFrame(GeoPoint(*(float(value) for value in degrees[0])))
        return np.stack(frame.to_enu(degrees[:, 0], degrees[:, 1]), axis=1)

    @cached_property
    def ground_places(self) -> GroundPlaces:
        """The images and where they were taken, for `refuse_leak`; reads every frame's record.

        Raises:
            DatasetError: a record is missing or malformed.
        """
        points = [read_oxts(frame.oxts).point for frame in self.frames]
        degrees = np.array([(point.latitude, point.longitude) for point in points])
        return GroundPlaces(tuple(frame.name for frame in self.frames), degrees)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """See `ExampleSet`; training frames draw their displacement at every call."""
        frame = self.frames[index]
        shares = frame.displacement or draw_displacement(rng)
        stretch = self.data.position_range_m / SHIFT_RANGE_M
        placed = self._placed(frame, replace(shares, right=shares.right * stretch, up=shares.up * stretch))
        noise = math.radians(shares.turn * self.data.heading_noise_deg)
        truth = np.array([placed.right_m, placed.up_m, wrap(placed.heading_rad)]) if self.labels else None
        tile = metric_tile(placed.tile, self.network, self.data.tile_extent_m)
        image = ground_image(frame, self.data.camera_height_m)
        return prepare(self.network, image, tile, wrap(placed.heading_rad - noise), truth, frame.name)

    def _placed(self, frame: KittiFrame, displacement: Displacement) -> PlacedTile:
        if self.data.tiles == "north_up":
            extent_m = read_extent_m(self.network, self.data.tile_extent_m)
            return north_up_tile(frame, displacement, extent_m, self.network.metres_per_pixel)
        side_px = aligned_side_px(self.network, self.data.tile_extent_m)
        return aligned_tile(frame, displacement, self.data.heading_noise_deg, side_px)
