# SPDX-License-Identifier: Apache-2.0
"""Which network is trained, and from which weights."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from geodistill_core.models.base import Geometry
from geodistill_training.recipe.strict import Strict


class NetworkRecipe(Strict):
    """`start` is a checkpoint (shipped name or folder) to begin from; None begins from seeded random weights."""

    architecture: str = "tiny"
    geometry: Geometry = "corrected"
    arguments: dict[str, Any] = Field(default_factory=dict)
    start: str | None = None
