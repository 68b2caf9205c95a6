# SPDX-License-Identifier: Apache-2.0
"""Architectures by name; a new network is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from geodistill_core.errors import ConfigError
from geodistill_core.models.base import AnyNetwork
from geodistill_core.models.tiny import Tiny

ARCHITECTURES: dict[str, Callable[..., AnyNetwork]] = {"tiny": Tiny}


def build(architecture: str, **arguments: Any) -> AnyNetwork:
    """A network with fresh weights, in the memory layout that convolutions on a CPU run fastest in.

    Raises:
        ConfigError: the architecture or an argument of it is unknown.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"unknown architecture {architecture!r}; known: {', '.join(sorted(ARCHITECTURES))}")
    try:
        network = ARCHITECTURES[architecture](**arguments)
    except TypeError as error:
        raise ConfigError(f"architecture {architecture!r} does not take {sorted(arguments)}: {error}") from error
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
