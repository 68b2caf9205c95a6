# SPDX-License-Identifier: Apache-2.0
"""A call whose inputs and outputs have fixed places in an accelerator's memory, as engines and captured graphs want."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.backend import Named

Shapes = Mapping[str, tuple[int, ...]]


class DeviceCall:
    """Copies inputs in, launches, copies outputs out; on a stream of its own, from one thread at a time.

    Tensors from the host pass through pinned memory, tensors of the same device are copied there. `to_host` outputs
    come back to the host, others stay on the device, so that a map's features are uploaded never and computed once.
    `bind(buffers, stream)` is told where every tensor lives and answers what launches the computation there.
    """

    def __init__(
        self,
        inputs: Shapes,
        outputs: Shapes,
        bind: Callable[[Named, int], Callable[[], None]],
        *,
        device: torch.device,
        to_host: bool,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._to_host, self._lock = to_host, threading.Lock()
        shapes = {**inputs, **outputs}
        self._buffers = {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}
        staged = {*inputs, *outputs} if to_host else {*inputs}
        self._pinned = {name: torch.zeros(shapes[name], pin_memory=on_gpu) for name in staged}
        if on_gpu:
            torch.cuda.synchronize(device)  # the zeros were written on another stream
        self._launch = bind(self._buffers, self._stream.cuda_stream if self._stream else 0)

    def __call__(self, tensors: Named) -> dict[str, Tensor]:
        """See `CompiledCall`.

        Raises:
            RuntimeBackendError: an input has another shape, or the launch failed.
        """
        with self._lock, self._on_stream():
            for name in self.inputs:
                self._take(name, tensors[name])
            self._launch()
            answer = {name: self._given(name) for name in self.outputs}
            if self._stream is not None:
                self._stream.synchronize()
        # what was pinned is written again by the next call
        return {name: value.clone() for name, value in answer.items()} if self._to_host else answer

    def _on_stream(self) -> Any:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _take(self, name: str, value: Tensor) -> None:
        buffer = self._buffers[name]
        if value.shape != buffer.shape:
            raise RuntimeBackendError(
                f"input {name} is {tuple(value.shape)}, the engine was built for {tuple(buffer.shape)}; build another"
            )
        if value.device.type == "cpu":
            value = self._pinned[name].copy_(value)
        buffer.copy_(value, non_blocking=True)

    def _given(self, name: str) -> Tensor:
        buffer = self._buffers[name]
        return self._pinned[name].copy_(buffer, non_blocking=True) if self._to_host else buffer.clone()
