# SPDX-License-Identifier: Apache-2.0
"""How one parameter is declared: default, description, range, and when it may change."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import Field


class Change(str, Enum):
    """When a parameter may be set: at process start, while the node is unconfigured, or at any time."""

    START = "start"
    UNCONFIGURED = "unconfigured"
    ANY = "any"


def parameter(
    default: Any,
    description: str,
    *,
    change: Change = Change.UNCONFIGURED,
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    """A field with its default, what it is for, when it may change, and its inclusive range."""
    return Field(default, description=description, ge=ge, le=le, json_schema_extra={"change": change.value})
