# SPDX-License-Identifier: Apache-2.0
"""Everything that a resumed run needs, in one file that is never half written."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_training.engine.atomic import write_bytes
from geodistill_training.recipe import Recipe

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run before `step`: the recipe it follows, what has been learned, and what its guards and judges remember."""

    recipe: dict[str, Any]
    step: int
    learned: dict[str, Any]
    watched: dict[str, Any]
    ended: str | None

    def save(self, path: Path) -> None:
        """Write the snapshot in one step.

        Raises:
            TrainingError: the disk is full; the snapshot before is intact.
        """
        buffer = io.BytesIO()
        torch.save({"format": _FORMAT, **{f.name: getattr(self, f.name) for f in fields(self)}}, buffer)
        write_bytes(path, buffer.getvalue())


def read_snapshot(path: Path) -> Snapshot | None:
    """The snapshot in a run folder, None where there is none.

    Raises:
        CheckpointError: it is damaged or of another format.
    """
    if not path.is_file():
        return None
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in many ways
        raise CheckpointError(f"{path} is damaged ({error}); remove it to start the run anew") from error
    if not isinstance(stored, dict) or stored.pop("format", None) != _FORMAT:
        raise CheckpointError(f"{path} has not format {_FORMAT}; remove it to start the run anew")
    return Snapshot(**stored)


def refuse_other_recipe(stored: dict[str, Any], recipe: Recipe, path: Path) -> None:
    """Compare the recipe of a snapshot with this one.

    Raises:
        ConfigError: they differ; the message lists every key with its old and its new value.
    """
    changes = differences(stored, recipe.model_dump(mode="json"))
    if changes:
        raise ConfigError(
            f"{path} was made with another recipe: {'; '.join(changes)}. Use another run folder, or "
            "--allow-config-change to continue with the new one"
        )


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """Every key whose value differs between two nested records, as `key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for name in sorted(old.keys() | new.keys())
            for line in differences(old.get(name, "absent"), new.get(name, "absent"), f"{key}.{name}".lstrip("."))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for i, (a, b) in enumerate(zip(old, new, strict=True)) for line in differences(a, b, f"{key}.{i}")]
    return [] if old == new else [f"{key}: {old} -> {new}"]
