# SPDX-License-Identifier: Apache-2.0
"""Which examples make up the batch of a step: a pure function of (seed, step), so that resuming needs no state.

Every pass visits all examples in a new order. Within a batch no two examples of one group lie closer than a distance
(they would show the same ground and contradict a batch-wise contrast), and all share one look, so that a network cannot
tell them apart by their style.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from geodistill_core.errors import ConfigError
from geodistill_core.types import Array


class BatchPlan:
    """Batches of `batch` indices over examples with `groups`, `looks` and places [N, 2]; see the module."""

    def __init__(
        self, groups: Sequence[str], looks: Sequence[str], places_m: Array, batch: int, spacing_m: float, seed: int
    ) -> None:
        if len(groups) < batch:
            raise ConfigError(f"a batch of {batch} needs more than {len(groups)} examples; lower batch or add data")
        self.batch, self.spacing_m, self.seed = batch, spacing_m, seed
        self.places_m = np.asarray(places_m, np.float64)
        self.group = np.unique(np.asarray(groups), return_inverse=True)[1]
        self.look = np.unique(np.asarray(looks), return_inverse=True)[1]
        self._first = [0]
        self.steps_per_epoch = len(self.epoch(0))
        if self.steps_per_epoch == 0:
            raise ConfigError(
                f"no batch of {batch} examples lies {spacing_m} m apart within one look; lower batch or spacing_m"
            )

    @lru_cache(maxsize=2)  # noqa: B019
    def epoch(self, number: int) -> tuple[tuple[int, ...], ...]:
        """All batches of a pass in order; what does not fill a batch waits for the next pass."""
        rng = np.random.default_rng([self.seed, number])
        order = rng.permutation(len(self.group))
        batches: list[tuple[int, ...]] = []
        for look in range(int(self.look.max()) + 1):
            batches += self._fill(deque(int(i) for i in order if self.look[i] == look))
        return tuple(batches[i] for i in rng.permutation(len(batches)))

    def _fill(self, waiting: deque[int]) -> list[tuple[int, ...]]:
        full: list[tuple[int, ...]] = []
        current: list[int] = []
        passed = 0
        while waiting and passed < len(waiting):
            index = waiting.popleft()
            if self._near(index, current):
                waiting.append(index)
                passed += 1
                continue
            current.append(index)
            passed = 0
            if len(current) == self.batch:
                full.append(tuple(current))
                current = []
        return full

    def _near(self, index: int, others: list[int]) -> bool:
        if not others:
            return False
        chosen = np.array(others)
        same = chosen[self.group[chosen] == self.group[index]]
        apart = np.hypot(*(self.places_m[same] - self.places_m[index]).T)
        return bool((apart < self.spacing_m).any())

    def indices(self, turn: int) -> tuple[int, ...]:
        """The batch of the `turn`-th step that uses this set."""
        while turn >= self._first[-1] + len(self.epoch(len(self._first) - 1)):
            self._first.append(self._first[-1] + len(self.epoch(len(self._first) - 1)))
        epoch = bisect_right(self._first, turn) - 1
        return self.epoch(epoch)[turn - self._first[epoch]]

    def replacement(self, chosen: Sequence[int], rng: np.random.Generator) -> int:
        """Another index for a batch, of its look and as far from its places as the rest, if any is."""
        order = rng.permutation(len(self.group))
        alike = [int(i) for i in order if self.look[i] == self.look[chosen[0]] and i not in chosen]
        apart = (i for i in alike if not self._near(i, list(chosen)))
        return next(apart, alike[0] if alike else int(order[0]))
