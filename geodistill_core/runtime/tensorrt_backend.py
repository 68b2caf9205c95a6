# SPDX-License-Identifier: Apache-2.0
"""TensorRT 10 and 11: strongly typed engines out of ONNX files, run on a stream with pinned buffers.

Every tensor has the type that the graph says; builder flags for precisions are gone from version 11 and not used with
version 10 either. `low_precision` writes types into the graph. An engine is a program: one is only read where this
machine wrote it, out of the cache that checks its hash.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.backend import CallName, CompiledCall, Named, Precision
from geodistill_core.runtime.device_call import DeviceCall
from geodistill_core.runtime.low_precision import with_low_precision

if TYPE_CHECKING:
    import tensorrt as trt

_FIRST_VERSION = 10
_WORKSPACE_BYTES = 2 << 30


def require_tensorrt() -> Any:
    """The module `tensorrt`.

    Raises:
        RuntimeBackendError: it is not installed, or too old.
    """
    try:
        import tensorrt

        version = tensorrt.__version__  # its type stubs alone are a package of this name without a version
    except (ImportError, AttributeError) as error:
        raise RuntimeBackendError(
            f"TensorRT is not installed ({error}); pip install 'geodistill[tensorrt]', or name another runtime"
        ) from error
    if int(version.split(".")[0]) < _FIRST_VERSION:
        raise RuntimeBackendError(f"TensorRT {version} is too old; {_FIRST_VERSION}.0 or newer is needed")
    return tensorrt


class TensorRTBackend:
    """See `Backend`. Engines lie beside the ONNX files they were built from; `say` hears the builder's progress."""

    name = "tensorrt"
    on_processor = False
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16", "int8")

    def __init__(self, device: str = "cuda", say: Callable[[str], None] = lambda text: None) -> None:
        require_tensorrt()
        self._device, self._say = torch.device(device), say

    def compile(self, call: CallName, onnx: Path, precision: Precision) -> CompiledCall:
        """See `Backend`; the match is computed in fp32 whatever the precision, its sums would not bear less."""
        plan = onnx.with_name(f"{onnx.stem}.{precision}.engine")
        if not plan.is_file():
            kept: Precision = "fp32" if call == "match" else precision
            plan.write_bytes(self._built(with_low_precision(onnx, kept)))
        return self._loaded(call, plan)

    def _built(self, model: bytes) -> bytes:
        import tensorrt as trt

        logger = _logger()
        builder = trt.Builder(logger)
        network = builder.create_network(_strongly_typed())
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model):
            problems = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
            raise RuntimeBackendError(f"TensorRT {trt.__version__} cannot read the exported graph: {problems}")
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
        config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32
        config.progress_monitor = _monitor(self._say)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise RuntimeBackendError(f"TensorRT {trt.__version__} built no engine: {logger.last}")
        return bytes(plan)

    def _loaded(self, call: CallName, plan: Path) -> CompiledCall:
        import tensorrt as trt

        logger = _logger()
        engine = trt.Runtime(logger).deserialize_cuda_engine(plan.read_bytes())
        context = None if engine is None else engine.create_execution_context()
        if engine is None or context is None:
            raise RuntimeBackendError(f"TensorRT {trt.__version__} refuses the engine {plan}: {logger.last}")
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        shapes = {name: _sizes(engine.get_tensor_shape(name)) for name in names}
        is_input = {name: engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        wrong = [name for name in names if engine.get_tensor_dtype(name) != trt.DataType.FLOAT]
        if wrong:
            raise RuntimeBackendError(f"{plan}: {', '.join(wrong)} are not float32; export and build it again")
        return DeviceCall(
            {name: shape for name, shape in shapes.items() if is_input[name]},
            {name: shape for name, shape in shapes.items() if not is_input[name]},
            lambda buffers, stream: _launcher(context, buffers, stream, call),
            device=self._device,
            to_host=call == "match",
        )


def _launcher(context: trt.IExecutionContext, buffers: Named, stream: int, call: CallName) -> Callable[[], None]:
    for name, buffer in buffers.items():
        if not context.set_tensor_address(name, buffer.data_ptr()):
            raise RuntimeBackendError(f"TensorRT takes no memory for {name} of {call}")

    def launch() -> None:
        if not context.execute_async_v3(stream):
            raise RuntimeBackendError(f"TensorRT failed to run {call}; see its log, and the driver's")

    return launch


def _sizes(dims: trt.Dims) -> tuple[int, ...]:
    return tuple(int(dims[axis]) for axis in range(len(dims)))


def _strongly_typed() -> int:
    """The creation flags: version 11 knows strongly typed networks only, and may drop the flag."""
    import tensorrt as trt

    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _logger() -> Any:
    """A logger that keeps the last error."""
    import tensorrt as trt

    class LastError(trt.ILogger):  # type: ignore[misc]  # Any where its stubs are not read
        last = "it does not say why"

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.last = msg

    return LastError()


def _monitor(say: Callable[[str], None]) -> Any:
    """Tells phases and steps of a build."""
    import tensorrt as trt

    class Told(trt.IProgressMonitor):  # type: ignore[misc]  # likewise
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            say(f"{phase_name}, step {step + 1} of {self._steps.get(phase_name, step + 1)}")
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Told()
