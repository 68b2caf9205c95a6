# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.backend import CallName, CompiledCall, Named, Precision, deployed


class OnnxRuntimeBackend:
    """Files as they are: fp32, or int8 where they were quantised. As many threads as torch uses."""

    name = "onnxruntime"
    on_processor = True
    precisions: tuple[Precision, ...] = ("fp32", "int8")

    def compile(self, call: CallName, onnx: Path, precision: Precision) -> CompiledCall:
        """See `Backend`."""
        if precision not in self.precisions:
            raise RuntimeBackendError(f"ONNX Runtime has no {precision} on processors; ask for fp32 or int8")
        ort = deployed("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # threads that wait by running in circles would take the processor from torch, which has the next step
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's errors have no common class but this one
            raise RuntimeBackendError(f"ONNX Runtime cannot build {onnx}: {error}; export it again") from error
        return _Session(call, session)


class _Session:
    def __init__(self, call: CallName, session: Any) -> None:
        self.call, self.session = call, session
        self.inputs = {x.name: tuple(x.shape) for x in session.get_inputs()}
        self.outputs = {x.name: tuple(x.shape) for x in session.get_outputs()}

    def __call__(self, tensors: Named) -> dict[str, Tensor]:
        feeds = {name: np.ascontiguousarray(tensors[name].detach().cpu().numpy()) for name in self.inputs}
        try:
            found = self.session.run(list(self.outputs), feeds)
        except Exception as error:
            raise RuntimeBackendError(f"ONNX Runtime failed in {self.call}: {error}") from error
        return {name: torch.from_numpy(value) for name, value in zip(self.outputs, found, strict=True)}
