# SPDX-License-Identifier: Apache-2.0
"""Position and heading errors of a network over a set of examples, at a field of view and a heading prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodistill_core.geometry.angles import wrap
from geodistill_core.models.base import AnyNetwork
from geodistill_core.types import Array
from geodistill_training.data.batches import row_rng
from geodistill_training.data.examples import Batch, ExampleSet, collate
from geodistill_training.families.base import Family
from geodistill_training.modes import modes
from geodistill_training.objectives.hide import view_masks

_YAW_STEP_DEG = 3.0
_NARROW_DEG = 6.0
_BATCH = 8


@dataclass(frozen=True, slots=True)
class View:
    """What is asked: `visible_deg` of the panorama, a heading prior wrong by up to `yaw_error_deg` (uniform).

    0 keeps the prior of the examples, which is searched 6 degrees to either side.
    """

    name: str
    visible_deg: int = 360
    yaw_error_deg: float = 0.0

    def hypotheses(self) -> Tensor:
        """Yaw offsets from the prior that are searched, radians."""
        reach = math.ceil((self.yaw_error_deg or _NARROW_DEG) / _YAW_STEP_DEG)
        return torch.deg2rad(torch.arange(-reach, reach + 1) * _YAW_STEP_DEG)


@dataclass(frozen=True, slots=True)
class Errors:
    """Per example: `position_m` and `yaw_deg` errors, and the city it lies in."""

    position_m: Array
    yaw_deg: Array
    cities: tuple[str, ...]


def evaluate(family: Family[Any, Any], examples: ExampleSet, views: Sequence[View]) -> dict[str, Errors]:
    """Errors of the heat map's mode for each view; every random choice depends on the example alone.

    Tiles are encoded once for all views. Positions have no prior but the extent of the search.
    """
    found: dict[str, list[tuple[float, float]]] = {view.name: [] for view in views}
    network = family.network.eval()
    with torch.inference_mode():
        for first in range(0, len(examples), _BATCH):
            rows = range(first, min(first + _BATCH, len(examples)))
            batch = collate([examples.example(i, row_rng(0, 0, i)) for i in rows], 0, list(rows))
            maps = family.maps(batch.maps)
            for view in views:
                ground, yaw = _as_seen(family, batch, view)
                found[view.name] += _errors(network, network.match(ground, maps, yaw), yaw, batch)
    cities = tuple(examples.groups)
    columns = {name: np.array(rows, np.float64) for name, rows in found.items()}
    return {name: Errors(column[:, 0], column[:, 1], cities) for name, column in columns.items()}


def _as_seen(family: Family[Any, Any], batch: Batch, view: View) -> tuple[Any, Tensor]:
    """Ground features under a view, and the yaws [B, Y] that are searched."""
    rngs = [row_rng(1, 0, row) for row in batch.rows.tolist()]
    prior = batch.yaw_enu_rad
    if view.yaw_error_deg and batch.truth is not None:
        wrong = np.radians([rng.uniform(-view.yaw_error_deg, view.yaw_error_deg) for rng in rngs])
        prior = batch.truth[:, 2] + torch.from_numpy(wrong).float()
    yaw = prior[:, None] + view.hypotheses()
    if view.visible_deg >= 360:
        return family.ground(batch.ground), yaw
    masks = view_masks(batch.ground, (view.visible_deg, view.visible_deg + 1), True, rngs)
    return family.hidden_ground(batch.ground, masks, "both"), yaw


def _errors(network: AnyNetwork, logits: Tensor, yaw: Tensor, batch: Batch) -> list[tuple[float, float]]:
    """Metres and degrees from the truth, of every row."""
    assert batch.truth is not None
    truths = batch.truth.double().tolist()
    return [
        (math.hypot(east - truth[0], north - truth[1]), math.degrees(abs(wrap(found - truth[2]))))
        for (east, north, found, _), truth in zip(
            modes(network, logits, yaw, batch.maps.metres_per_pixel), truths, strict=True
        )
    ]
