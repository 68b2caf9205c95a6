# SPDX-License-Identifier: Apache-2.0
"""Tensors that depend on parameters alone (folded or composed weights), kept until a parameter changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from geodistill_core.models.portable import is_portable


class Derived:
    """Remembers the last derivation from a set of parameters and buffers.

    Derives anew whenever gradients are enabled (so that they flow), while compiling, and for parameters that keep no
    version (made under inference mode). An export in portable form, which is traced right after it ran, holds what was
    derived then as constants. Values written through `.data` keep the version and go unnoticed: write
    parameters under `torch.no_grad()`.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._value: tuple[Tensor, ...] = ()

    def get(self, sources: Sequence[Tensor], derive: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """`derive()`, or what it answered last if no source has changed since."""
        if self._value and is_portable() and torch.compiler.is_compiling():
            return self._value
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or any(s.is_inference() for s in sources):
            return derive()
        key = tuple((id(s), s.data_ptr(), s._version, s.device, s.dtype) for s in sources)
        if key != self._key:
            self._key, self._value = key, derive()
        return self._value
