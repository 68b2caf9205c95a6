# SPDX-License-Identifier: Apache-2.0
"""A published checkpoint file becomes a checkpoint folder: accepted whole, or refused with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geodistill_core import __version__
from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.backbones.dinov2 import FrozenDinov2
from geodistill_core.models.base import AnyNetwork, Geometry
from geodistill_core.models.checkpoint import save_checkpoint
from geodistill_core.models.importing.fit import Fit, best_fits, fit
from geodistill_core.models.importing.foreign import ForeignFile, open_foreign
from geodistill_core.models.manifest import Manifest, Source
from geodistill_core.models.registry import build


def import_published(
    path: Path,
    architecture: str,
    folder: Path,
    *,
    geometry: Geometry,
    licence: str,
    arguments: Mapping[str, Any] | None = None,
) -> tuple[Manifest, Fit]:
    """Write `folder` from a `.pth`, `.pt` or `.safetensors` file; returns its manifest and what was mapped.

    `arguments` go to the network's constructor, beside those that the file's shapes ask for.

    Raises:
        ConfigError: the architecture, an argument or the licence is not usable.
        CheckpointError: the file is not a safe, complete and finite state dict of the architecture.
    """
    if len(licence.strip()) < 2:
        raise ConfigError(f"licence {licence!r} says nothing; give its name, or leave it out")
    foreign = open_foreign(path)
    found = _exact_fit(foreign, architecture)
    if both := sorted(found.arguments.keys() & (arguments or {}).keys()):
        raise ConfigError(f"argument {both[0]!r} follows from the file, which needs {found.arguments[both[0]]!r}")
    complete = {**(arguments or {}), **found.arguments, "geometry": geometry}
    network = build(architecture, **complete).eval()
    network.load_state_dict(_accepted(foreign, found), strict=True)
    complete |= backbone_arguments(network)
    source = Source(
        file=path.name,
        sha256=foreign.sha256(),
        format=foreign.outer,
        dropped=found.dropped,
        rounded=tuple(key for key in found.keys.values() if foreign.tensors[key].dtype == torch.float64),
        importer=f"geodistill {__version__}",
    )
    description = {
        "name": folder.name,
        "architecture": architecture,
        "arguments": complete,
        "inputs": {"map_size_px": network.map_size_px, "template_extent_m": network.template_extent_m},
        "metres_per_pixel": network.metres_per_pixel,
        "preprocessing": "inside the network, as published",
        "training": {"data": "as published, see source"},
        "calibration": None,
        "licence": licence,
        "source": source,
    }
    return save_checkpoint(folder, network, description, torch.float32), found


def backbone_arguments(network: AnyNetwork) -> dict[str, str]:
    """Name and, if its weights are at hand, hash of a frozen backbone, so that every load uses the same one."""
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, FrozenDinov2):
        return {}
    sha256 = backbone.sha256 or backbone.hash_at_hand()
    return {"backbone": backbone.weights} | ({} if sha256 is None else {"backbone_sha256": sha256})


def _exact_fit(foreign: ForeignFile, architecture: str) -> Fit:
    found = fit(foreign.tensors, architecture)
    if found.exact:
        return found
    best = best_fits(foreign.tensors)
    if best[0].exact:
        advice = f"it fits {' and '.join(other.architecture for other in best if other.exact)}: give one as --arch"
    elif best[0].share > 0:
        advice = f"nothing fits; the nearest is {best[0].describe()}"
    else:
        advice = "it resembles no registered architecture"
    raise CheckpointError(f"{foreign.path} does not fit {found.describe()}; {advice}")


def _accepted(foreign: ForeignFile, found: Fit) -> dict[str, Tensor]:
    """Our names -> finite values; float64 is rounded to float32."""
    values = foreign.values(found.keys.values())
    accepted = {}
    for ours, key in found.keys.items():
        accepted[ours] = values[key].float() if values[key].is_floating_point() else values[key]
        if not torch.isfinite(accepted[ours]).all():
            raise CheckpointError(f"{foreign.path}: tensor {key} holds NaN or infinity; the checkpoint is damaged")
    return accepted
