# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the processor."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime import device
from geodistill_core.runtime.backend import CallName, CompiledCall, Named, Precision, deployed

_SINK = "/sink_port_0"


class OpenVinoBackend:
    """fp32; bf16 in the encoder of the ground, where time presses; int8 where files were quantised, between them bf16.

    bf16 is left out on processors that take longer for it. As many threads as torch uses.
    """

    name = "openvino"
    on_processor = True

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """See `Backend`."""
        return ("fp32", "bf16", "int8") if device.fast_in_bf16() else ("fp32", "int8")

    def compile(self, call: CallName, onnx: Path, precision: Precision) -> CompiledCall:
        """See `Backend`."""
        if precision not in self.precisions:
            has = ", ".join(self.precisions)
            raise RuntimeBackendError(f"OpenVINO has no {precision} on this processor; ask for one of {has}")
        core = _core()
        low = precision != "fp32" and "bf16" in self.precisions
        try:
            compiled = core.compile_model(
                core.read_model(str(onnx)),
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                    "INFERENCE_PRECISION_HINT": "bf16" if low and call == "encode_ground" else "f32",
                },
            )
        except RuntimeError as error:
            raise RuntimeBackendError(f"OpenVINO cannot build {onnx}: {error}; export it again") from error
        return _Request(call, compiled)


class _Request:
    """One request, one caller at a time: tiles are encoded ahead by another thread."""

    def __init__(self, call: CallName, compiled: Any) -> None:
        self.call, self.request, self.lock = call, compiled.create_infer_request(), threading.Lock()
        # tensors may have further names of what was optimised away
        self.inputs = {x.node.friendly_name: tuple(x.shape) for x in compiled.inputs}
        self.outputs = {x.node.friendly_name.removesuffix(_SINK): tuple(x.shape) for x in compiled.outputs}

    def __call__(self, tensors: Named) -> dict[str, Tensor]:
        feeds = [np.ascontiguousarray(tensors[name].detach().cpu().numpy()) for name in self.inputs]
        with self.lock:
            try:
                found = self.request.infer(feeds, share_inputs=True)
            except RuntimeError as error:
                raise RuntimeBackendError(f"OpenVINO failed in {self.call}: {error}") from error
            return {name: torch.from_numpy(found[i].copy()) for i, name in enumerate(self.outputs)}


def save_ir(folder: Path) -> None:
    """Write the ONNX files of a folder as OpenVINO's own .xml and .bin beside them, in full precision.

    Raises:
        RuntimeBackendError: OpenVINO is not installed.
    """
    openvino = deployed("openvino")
    for path in sorted(folder.glob("*.onnx")):
        openvino.save_model(_core().read_model(str(path)), str(path.with_suffix(".xml")), compress_to_fp16=False)


@functools.cache
def _core() -> Any:
    """One for the life of the process; raises what `deployed` raises.

    Each that compiles for processors gives its thread a stack for signal handlers, and takes it away at its own end. Of
    two that do not end in the reverse order the later one restores a stack that is gone, and the next signal kills.
    """
    return deployed("openvino").Core()
