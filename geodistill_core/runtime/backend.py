# SPDX-License-Identifier: Apache-2.0
"""What a back end is: something that makes a function of tensors by name from an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from torch import Tensor

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.models.base import AnyNetwork

CallName = Literal["encode_map", "encode_ground", "match"]
CALLS: tuple[CallName, ...] = get_args(CallName)

Precision = Literal["fp32", "bf16", "fp16", "int8"]
SAFER: dict[Precision, Precision] = {"int8": "fp16", "fp16": "bf16", "bf16": "fp32"}
"""The precision to try next when one does not hold."""

Named = Mapping[str, Tensor]


class CompiledCall(Protocol):
    """One call of a network on a back end; names and shapes are those of the ONNX file's graph.

    Calling it takes float32 tensors
    under (at least) the inputs' names and answers float32 tensors under the outputs' names; where they live is the
    back end's affair, as long as the other calls of the same back end and torch can read them.
    """

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the inputs."""

    @property
    def outputs(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the outputs."""

    def __call__(self, tensors: Named) -> dict[str, Tensor]:
        """The outputs for these inputs.

        Raises:
            RuntimeBackendError: the engine failed.
        """


class Backend(Protocol):
    """An engine that runs ONNX files."""

    name: str
    on_processor: bool

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those that it can build, the safest first."""

    def compile(self, call: CallName, onnx: Path, precision: Precision) -> CompiledCall:
        """The function of a file that `export_onnx` wrote.

        Raises:
            RuntimeBackendError: the engine is not installed, or cannot build the file in this precision.
        """


def compile_calls(
    network: AnyNetwork, backend: Backend, paths: Mapping[CallName, Path], precision: Precision
) -> dict[CallName, CompiledCall]:
    """The calls of a network's ONNX files that the back end is to run: the match is left to torch where it is faster.

    Raises:
        RuntimeBackendError: the engine is not installed, or cannot build a file in this precision.
    """
    left_to_torch = network.compared_by_torch and backend.on_processor
    wanted = (call for call in CALLS if call != "match" or not left_to_torch)
    return {call: backend.compile(call, paths[call], precision) for call in wanted}


def deployed(module: str) -> Any:
    """A library of the extra `deploy`.

    Raises:
        RuntimeBackendError: it cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise RuntimeBackendError(
            f"{module} is not at hand ({error}); install it: pip install 'geodistill[deploy]'"
        ) from error
