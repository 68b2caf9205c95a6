# SPDX-License-Identifier: Apache-2.0
"""Locate although the accelerator fails: free memory and try once more, then have torch serve on the processor."""

from __future__ import annotations

import gc

import torch

from geodistill_core.errors import GeodistillError, RuntimeBackendError
from geodistill_core.types import Estimate, GroundImage, Prior
from geodistill_ros.conditions import MANY_FAILURES
from geodistill_ros.counters import Counters
from geodistill_ros.engine import Engine


class SteadyLocalizer:
    """The engine's localizer; a back end that loses its memory or its device, or fails too often, is given up."""

    def __init__(self, engine: Engine, counters: Counters) -> None:
        self._engine = engine
        self._counters = counters
        self._failures_in_a_row = 0

    def locate(self, image: GroundImage, prior: Prior) -> Estimate:
        """See `Locating`.

        Raises:
            GeodistillError: there is no answer to this image.
            Exception: whatever the network raised.
        """
        try:
            estimate = self._locate(image, prior)
        except Exception as error:
            if isinstance(error, RuntimeBackendError) or not isinstance(error, GeodistillError):
                self._count(error)
            raise
        self._failures_in_a_row = 0
        return estimate

    def _locate(self, image: GroundImage, prior: Prior) -> Estimate:
        trouble = ""
        for _ in range(2):
            try:
                return self._engine.localizer.locate(image, prior)
            except (RuntimeError, MemoryError) as error:
                kind, trouble = _accelerator_trouble(error), f"{type(error).__name__}: {error}"
                if not kind:
                    raise
            # Only here: while an exception is handled, its traceback holds the tensors.
            self._counters.add(f"runtime.{kind}")
            _free_memory()
            if kind == "device_lost":
                break
        if not self._give_up(trouble):
            raise RuntimeBackendError(
                f"{trouble}; no other back end is left: restart the node, or choose a smaller network"
            )
        return self._engine.localizer.locate(image, prior)

    def _count(self, error: Exception) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row == MANY_FAILURES:
            self._give_up(f"it failed {MANY_FAILURES} times in a row: {error}")

    def _give_up(self, cause: str) -> bool:
        runtime = self._engine.runtime
        if runtime is None or not runtime.give_up(cause):
            return False
        self._counters.add("runtime.given_up")
        _free_memory()
        return True


def _accelerator_trouble(error: Exception) -> str:
    """`out_of_memory`, `device_lost`, or "" for any other error."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return "out_of_memory"
    return "device_lost" if "CUDA error" in str(error) else ""


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
