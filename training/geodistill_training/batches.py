# SPDX-License-Identifier: Apache-2.0
"""Training batches, a pure function of (recipe seed, step): resuming needs no state but the step."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geodistill_core.models.strip import StripGeometry
from geodistill_core.types import Array
from geodistill_training.augment import hide_sector, photometric
from geodistill_training.cache import FLAT_METRES_PER_PIXEL, open_city
from geodistill_training.pretext import flat_world_strip
from geodistill_training.recipe import Recipe

Batch = dict[str, Tensor]


def _pixels(strip: Array, visible: Array) -> Array:
    """Network-ready strip [4, H, W] float32."""
    return np.concatenate([strip.astype(np.float32) / 255.0, visible[..., None]], axis=-1).transpose(2, 0, 1)


def _rgb(tile: Array) -> Array:
    return tile.astype(np.float32).transpose(2, 0, 1) / 255.0


class StepBatches(Dataset[Batch]):
    """Item `step` is the whole batch of that step: of flats in a pretext step, of pairs otherwise."""

    def __init__(self, recipe: Recipe, flats: list[Path], pairs: list[Path]) -> None:
        self.recipe = recipe
        self.flats, self.pairs = flats, pairs
        self.geometry = StripGeometry()

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, step])
        stage, within = self.recipe.stage_at(step)
        flat = stage.pretext > 0 and (within % 2 == 0 or stage.contrastive + stage.distill == 0)
        make, cities = (self._flat, self.flats) if flat else (self._pair, self.pairs)
        chosen = rng.choice(len(cities), self.recipe.batch, replace=len(cities) < self.recipe.batch)
        samples = [make(open_city(cities[i]), rng) for i in chosen]
        batch = {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}
        batch["gauge"] = torch.tensor(int(rng.integers(8)))
        return batch

    def _flat(self, city: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
        """A pretext sample: where the strip was taken was drawn here."""
        row = int(rng.integers(len(city["flat"])))
        reach = self.recipe.data.position_range_m
        east, north = rng.uniform(-reach, reach, 2)
        yaw, height = rng.uniform(-math.pi, math.pi), rng.uniform(1.4, 2.8)
        tile, source = city["flat"][row], city["flat_source"][row]
        strip = flat_world_strip(
            photometric(source, rng), FLAT_METRES_PER_PIXEL, east, north, yaw, height, self.geometry, rng
        )
        visible = np.ones(strip.shape[:2], np.float32)
        if rng.random() < 0.3:
            visible = hide_sector(visible, rng)
        stated = height * (1 + rng.normal(0, 0.03))
        return {
            "tile": _rgb(photometric(tile, rng)),
            "strip": _pixels(strip, visible),
            "mount": np.array([0, 0, stated], np.float32),
            "yaw": np.array(yaw, np.float32),
            "place_m": np.array([east, north], np.float32),
            "yaw_offsets": self._yaw_offsets(rng),
        }

    def _yaw_offsets(self, rng: np.random.Generator) -> Array:
        """Hypotheses around the true yaw: two that bracket it by 3 degrees, two wrong ones."""
        share = rng.uniform(0, 1)
        spread = self.recipe.yaw_spread_deg
        wrong = np.sign(rng.uniform(-1, 1, 2)) * rng.uniform(5, max(spread, 6), 2)
        return np.asarray(np.radians([-3 * share, 3 * (1 - share), *wrong]), dtype=np.float32)

    def _pair(self, city: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
        """A real pair: heading prior, no position."""
        row = int(rng.integers(len(city["tile"])))
        visible = city["visible"][row].astype(np.float32) / 255.0
        strip = photometric(city["strip"][row], rng)
        return {
            "tile": _rgb(photometric(city["tile"][row], rng)),
            "strip": _pixels(strip, visible),
            "student_strip": _pixels(photometric(strip, rng), hide_sector(visible, rng, 150.0)),
            "mount": np.array(city["mount"][row]),
            "yaw": np.array(city["yaw"][row]),
        }
