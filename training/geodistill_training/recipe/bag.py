# SPDX-License-Identifier: Apache-2.0
"""A recorded drive as a source of examples, and how much of it is kept back to judge by."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from geodistill_training.recipe.strict import Strict


class BagData(Strict):
    """Frames at least `spacing_m` of way apart, at most `most_frames`; their tiles are `tile_extent_m` wide.

    The way is cut into blocks of about `block_m`, at least five; every fifth, the last among them, is held out. No
    frame within `gap_m` of a held-out one is trained on. `prior` "gaussian" lets the GNSS into the teacher's heat map
    where it makes pseudo ground truth; the held-out part is always answered without it.
    """

    dataset: Literal["bag"] = "bag"
    spacing_m: float = Field(2.0, ge=0, le=50)
    most_frames: int = Field(2000, ge=10, le=100_000)
    tile_extent_m: float = Field(96.0, ge=48, le=200)
    block_m: float = Field(200.0, gt=0, le=5000)
    gap_m: float = Field(50.0, ge=0, le=500)
    prior: Literal["gaussian", "flat"] = "gaussian"
