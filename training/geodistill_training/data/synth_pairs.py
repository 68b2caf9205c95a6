# SPDX-License-Identifier: Apache-2.0
"""SynthCity as a set of examples: from the rendered cache, streamed from the generator, or as flat worlds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.strip import StripGeometry
from geodistill_core.types import Array
from geodistill_training.data.examples import Example
from geodistill_training.data.flat_world import flat_world_strip
from geodistill_training.data.synth_cache import (
    FLAT_SOURCE_METRES_PER_PIXEL,
    FLAT_TILE_METRES_PER_PIXEL,
    open_city,
)
from geodistill_training.data.synth_stream import stream_example
from geodistill_training.recipe.data import SynthData

_HEIGHT_M = (1.2, 3.0)
_STATED_HEIGHT_SIGMA = 0.03
_LEAST_VISIBLE_DEG = 110.0


class _Cities:
    """Cities of equally many examples each."""

    def __init__(self, names: Sequence[str], per_city: int) -> None:
        self.names, self.per_city = tuple(names), per_city

    def __len__(self) -> int:
        return len(self.names) * self.per_city

    @property
    def groups(self) -> Sequence[str]:
        """Each city is a plane of its own."""
        return [name for name in self.names for _ in range(self.per_city)]

    @property
    def looks(self) -> Sequence[str]:
        """The style, by which a network could tell tiles apart without looking at the road."""
        return [name.rsplit("-", 1)[0] for name in self.groups]


class CachedPairs(_Cities):
    """Pairs of rendered cities; the truth is None unless `labels`."""

    def __init__(self, folders: Sequence[Path], labels: bool = False) -> None:
        self.folders, self.labels = tuple(folders), labels
        super().__init__([f.name for f in folders], len(np.load(folders[0] / "place_m.npy", mmap_mode="r")))

    @cached_property
    def places_m(self) -> Array:
        """Prior places on each city's plane."""
        return np.concatenate([np.load(folder / "place_m.npy") for folder in self.folders])

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """See `ExampleSet`; nothing is random here."""
        city, row = divmod(index, self.per_city)
        arrays = {key: values[row] for key, values in open_city(self.folders[city], self.labels).items()}
        return Example(
            key=f"{self.names[city]}/{row}",
            tile=arrays["tile"],
            valid=arrays["valid"],
            metres_per_pixel=float(arrays["metres_per_pixel"]),
            pixels=arrays["pixels"],
            visible=arrays["visible"],
            mount=np.array(arrays["mount"]),
            intrinsics=arrays.get("intrinsics"),
            yaw_enu_rad=float(arrays["yaw_enu_rad"]),
            truth=arrays.get("truth"),
        )


class StreamedPairs(_Cities):
    """Pairs straight from the generator, for any network; the same examples as `CachedPairs`."""

    def __init__(self, data: SynthData, network: AnyNetwork, labels: bool = False) -> None:
        self.data, self.network, self.labels = data, network, labels
        seeds = range(data.first_seed, data.first_seed + data.cities_per_style)
        self.cities = [(style, seed) for seed in seeds for style in data.styles]
        super().__init__([f"{style}-{seed:05d}" for style, seed in self.cities], data.pairs_per_city)

    @cached_property
    def places_m(self) -> Array:
        """Prior places on each city's plane."""
        return np.stack([self._at(index)[1] for index in range(len(self))])

    def _at(self, index: int) -> tuple[Example, Array]:
        city, row = divmod(index, self.per_city)
        return stream_example(self.data, self.network, *self.cities[city], row)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """See `ExampleSet`; nothing is random here."""
        example, _ = self._at(index)
        if self.labels:
            return example
        return Example(**{**{k: getattr(example, k) for k in Example.__slots__}, "truth": None})


class FlatWorlds(_Cities):
    """Overhead views warped into the strip of a camera at a random known place; the truth was drawn here."""

    def __init__(self, folders: Sequence[Path], reach_m: float) -> None:
        self.folders, self.reach_m = tuple(folders), reach_m
        self.geometry = StripGeometry()
        super().__init__([f.name for f in folders], len(np.load(folders[0] / "tile.npy", mmap_mode="r")))

    @property
    def places_m(self) -> Array:
        """Unknown and unneeded: a city's views count as apart."""
        return np.stack([np.arange(len(self)) * 1e4, np.zeros(len(self))], axis=1)

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """A new place, heading and camera height at every call."""
        city, row = divmod(index, self.per_city)
        arrays = {key: values[row] for key, values in open_city(self.folders[city], labels=False).items()}
        east, north = rng.uniform(-self.reach_m, self.reach_m, 2)
        yaw, height = rng.uniform(-math.pi, math.pi), rng.uniform(*_HEIGHT_M)
        pixels = flat_world_strip(
            arrays["source"], FLAT_SOURCE_METRES_PER_PIXEL, east, north, yaw, height, self.geometry, rng
        )
        height_px, width_px = pixels.shape[:2]
        visible = np.full((height_px, width_px), 255, np.uint8)
        if rng.random() < 0.3:
            keep = round(rng.uniform(_LEAST_VISIBLE_DEG, 360.0) / 360.0 * width_px)
            visible[:, (np.arange(width_px) + int(rng.integers(width_px))) % width_px >= keep] = 0
        return Example(
            key=f"{self.names[city]}/flat/{row}",
            tile=arrays["tile"],
            valid=np.full(arrays["tile"].shape[:2], 255, np.uint8),
            metres_per_pixel=FLAT_TILE_METRES_PER_PIXEL,
            pixels=pixels,
            visible=visible,
            mount=np.array([0, 0, height * (1 + rng.normal(0, _STATED_HEIGHT_SIGMA))], np.float32),
            intrinsics=None,
            yaw_enu_rad=yaw,
            truth=np.array([east, north, yaw], np.float32),
        )
