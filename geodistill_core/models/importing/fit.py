# SPDX-License-Identifier: Apache-2.0
"""Which registered architecture a published state dict fits, by names, shapes and types alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodistill_core.errors import CheckpointError, ConfigError
from geodistill_core.models.importing.key_map import is_unused, sources
from geodistill_core.models.registry import ARCHITECTURES, Published, architecture, build

_FLOATS = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Fit:
    """How a state dict fits one architecture built with `arguments`.

    `keys` maps our names to published keys for every tensor that fits, `dropped` are published keys of parts that do
    not run. Whatever does not fit is described: `missing` by our names, `unexpected` by published keys, `misshapen`
    in words.
    """

    architecture: str
    arguments: Mapping[str, Any]
    keys: Mapping[str, str]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether every tensor of the network is there, and nothing else."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def share(self) -> float:
        """Share of fitting tensors among all that are wanted or found."""
        problems = len(self.missing) + len(self.unexpected) + len(self.misshapen)
        return len(self.keys) / max(len(self.keys) + problems, 1)

    def describe(self) -> str:
        """What does not fit, in one line."""
        arguments = "".join(f" {key}={value}" for key, value in self.arguments.items())
        parts = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.misshapen))
        told = [f"{len(found)} {what} ({_some(found)})" for what, found in parts if found]
        return f"{self.architecture}{arguments}: {len(self.keys)} tensors fit, {', '.join(told) or 'nothing else'}"


def _some(found: tuple[str, ...]) -> str:
    return ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")


def fit(tensors: Mapping[str, Tensor], name: str) -> Fit:
    """The best fit of an architecture among the published kinds it knows; values are not looked at.

    Raises:
        ConfigError: the architecture is unknown, or nothing published is known to fit it.
    """
    kinds = architecture(name).published
    if not kinds:
        raise ConfigError(f"no published checkpoint is known for {name!r}; its own checkpoints need no import")
    return max((_fit_kind(tensors, name, kind) for kind in kinds), key=lambda found: found.share)


def best_fits(tensors: Mapping[str, Tensor]) -> list[Fit]:
    """The fits of every architecture that has published checkpoints, best first."""
    known = [name for name in sorted(ARCHITECTURES) if ARCHITECTURES[name].published]
    return sorted((fit(tensors, name) for name in known), key=lambda found: -found.share)


def _fit_kind(tensors: Mapping[str, Tensor], name: str, kind: Published) -> Fit:
    with torch.device("meta"):
        wanted = build(name, **kind.arguments).state_dict()
    dropped = tuple(sorted(key for key in tensors if is_unused(key, kind.unused)))
    try:
        found = sources(tensors, kind.keys, kind.unused)
    except CheckpointError:  # rules for other keys than these
        found = {}
    both = sorted(wanted.keys() & found.keys())
    wrong = {ours: _difference(tensors[found[ours]], wanted[ours]) for ours in both}
    fitting = {ours: found[ours] for ours in both if not wrong[ours]}
    known = {*dropped, *(found[ours] for ours in both)}
    return Fit(
        architecture=name,
        arguments=dict(kind.arguments),
        keys=fitting,
        dropped=dropped,
        missing=tuple(sorted(wanted.keys() - found.keys())),
        unexpected=tuple(sorted(tensors.keys() - known)),
        misshapen=tuple(f"{found[ours]} {wrong[ours]}" for ours in both if wrong[ours]),
    )


def _difference(found: Tensor, wanted: Tensor) -> str:
    """What is wrong with a tensor, in words; empty where it fits."""
    if found.shape != wanted.shape:
        return f"{tuple(found.shape)} instead of {tuple(wanted.shape)}"
    allowed = _FLOATS if wanted.is_floating_point() else {wanted.dtype}
    return "" if found.dtype in allowed else f"{found.dtype} instead of {wanted.dtype}"
