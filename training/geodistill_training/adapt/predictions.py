# SPDX-License-Identifier: Apache-2.0
"""Where a network says that the examples of a set were taken: modes, stored once and read again."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from geodistill_core.errors import DatasetError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import Array
from geodistill_training.data.examples import Example, ExampleSet, collate
from geodistill_training.families.of import family_of
from geodistill_training.modes import modes
from geodistill_training.recipe.objectives import AdaptRecipe

_STEP_DEG = 3.0
_DRAW_STREAM = 2_000_003


@dataclass(frozen=True, slots=True)
class Predictions:
    """One pose for each example: `keys` [N], `east_m` and `north_m` [N] from the tile's centre, `yaw_enu_rad` [N].

    `confidence` [N] is the share of the heat map's mass around the mode.
    """

    keys: Array
    east_m: Array
    north_m: Array
    yaw_enu_rad: Array
    confidence: Array

    def __len__(self) -> int:
        return len(self.keys)

    @staticmethod
    def of(rows: list[tuple[str, float, float, float, float]]) -> Predictions:
        """From rows of (key, east, north, yaw, confidence)."""
        keys = np.array([row[0] for row in rows], dtype=np.str_)
        numbers = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 4)
        return Predictions(keys, *numbers.T)

    def save(self, path: Path) -> None:
        """Write an .npz beside its place and move it there in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.partial")
        with temporary.open("wb") as stream:
            np.savez(stream, **{field.name: getattr(self, field.name) for field in fields(self)})
        os.replace(temporary, path)

    @staticmethod
    def load(path: Path) -> Predictions:
        """Read what `save` wrote.

        Raises:
            DatasetError: the file is damaged or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return Predictions(**{field.name: stored[field.name] for field in fields(Predictions)})
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"{path} does not hold predictions: {error}; delete it to make them again") from error


def stored(path: Path, make: Callable[[], Predictions]) -> Predictions:
    """The predictions in a file, made and written there if it does not exist."""
    if not path.is_file():
        make().save(path)
    return Predictions.load(path)


def drawn_example(examples: ExampleSet, index: int, seed: int) -> Example:
    """Example `index` as it was drawn for its prediction, whenever it is asked for."""
    return examples.example(index, np.random.default_rng([seed, index, _DRAW_STREAM]))


@torch.no_grad()
def predict(
    network: AnyNetwork,
    examples: ExampleSet,
    options: AdaptRecipe,
    seed: int,
    *,
    batch: int = 8,
    step: Callable[..., None] = lambda *_: None,
) -> Predictions:
    """Poses of all examples; `step` is called with the number done after each batch."""
    network.eval()
    reach = math.ceil(options.search_deg / _STEP_DEG)
    offsets = torch.deg2rad(_STEP_DEG * torch.arange(-reach, reach + 1))
    rows = []
    for first in range(0, len(examples), batch):
        chosen = [drawn_example(examples, i, seed) for i in range(first, min(first + batch, len(examples)))]
        rows += _modes(network, chosen, offsets, options.temperature)
        step(len(chosen))
    return Predictions.of(rows)


def _modes(
    network: AnyNetwork, examples: list[Example], offsets: torch.Tensor, temperature: float
) -> list[tuple[str, float, float, float, float]]:
    family, batch = family_of(network), collate(examples, 0, range(len(examples)))
    device = next(network.parameters()).device
    moved = batch.to(device)
    yaw = moved.yaw_enu_rad[:, None] + offsets.to(device)
    level = family.heatmaps(family.ground(moved.ground), family.maps(moved.maps), yaw)[-1]
    poses = modes(network, level / temperature, yaw, batch.maps.metres_per_pixel)
    return [(key, *pose) for key, pose in zip(batch.keys, poses, strict=True)]
