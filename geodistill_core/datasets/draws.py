# SPDX-License-Identifier: Apache-2.0
"""Where loaders take their chances from: always a generator that the caller hands over, never a global one."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Draws(Protocol):
    """What loaders ask of a generator; numpy's `default_rng` and `LegacyDraws` both answer."""

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        ...

    def integers(self, low: int, high: int) -> int:
        """A whole number in [low, high)."""
        ...


class LegacyDraws:
    """numpy's legacy generator, by which published code draws after `np.random.seed(seed)`, under modern names."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def uniform(self, low: float, high: float) -> float:
        """See `Draws.uniform`."""
        return float(self._state.uniform(low, high))

    def integers(self, low: int, high: int) -> int:
        """See `Draws.integers`."""
        return int(self._state.randint(low, high))
