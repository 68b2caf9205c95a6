# SPDX-License-Identifier: Apache-2.0
"""The base of every part of a recipe: frozen, and a key that nobody knows is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """See the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)
