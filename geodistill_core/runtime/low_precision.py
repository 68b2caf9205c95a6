# SPDX-License-Identifier: Apache-2.0
"""Write a lower precision into an ONNX graph, for engines that compute in the types that the graph says.

Convolutions and matrix products compute in the low type, and what lies between them stays in it where it only selects
or adds. Everything else keeps fp32: normalisation, sampling, trigonometry, soft-max, the graph's inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.backend import Precision, deployed

if TYPE_CHECKING:
    import onnx

_COMPUTING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_CARRYING = frozenset({"Add", "AveragePool", "Concat", "Identity", "LeakyRelu", "MaxPool", "Relu", "Transpose"})


def with_low_precision(path: Path, precision: Precision) -> bytes:
    """The ONNX file of `path` in `precision`, its weights inside.

    Raises:
        RuntimeBackendError: int8 is asked for and the graph was not calibrated; or onnx is not installed.
    """
    onnx = deployed("onnx")
    model = onnx.load(path)
    if precision in ("bf16", "fp16"):
        _Rewritten(model, onnx.TensorProto.BFLOAT16 if precision == "bf16" else onnx.TensorProto.FLOAT16).apply()
    if precision == "int8" and not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise RuntimeBackendError(f"{path} holds no scales for int8; export it with --precision int8 --calibrate")
    return bytes(model.SerializeToString())


class _Rewritten:
    """One pass over a graph in order. A tensor `t` may exist twice: as `t` in fp32 and as `t.low`."""

    def __init__(self, model: onnx.ModelProto, low_type: int) -> None:
        from onnx import TensorProto, shape_inference

        self._graph, self._low_type, self._float = model.graph, low_type, TensorProto.FLOAT
        self._weights = {tensor.name: tensor for tensor in self._graph.initializer}
        inferred = shape_inference.infer_shapes(model).graph
        values = [*inferred.value_info, *inferred.input, *inferred.output]
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._types |= {name: tensor.data_type for name, tensor in self._weights.items()}
        self._full = {*self._weights, *(value.name for value in self._graph.input), ""}
        self._low: set[str] = set()

    def apply(self) -> None:
        """Rewrite the graph in place."""
        nodes = [made for node in list(self._graph.node) for made in self._rewritten(node)]
        for value in self._graph.output:
            nodes.extend(self._in_full(value.name))
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        for field, content in ((self._graph.node, nodes), (self._graph.initializer, kept)):
            del field[:]
            field.extend(content)
        del self._graph.value_info[:]  # they state the types that were

    def _rewritten(self, node: onnx.NodeProto) -> Iterator[Any]:
        floats = [name for name in node.input if self._types.get(name) == self._float]
        computed = [name for name in floats if name not in self._weights]
        carries = node.op_type in _CARRYING and bool(computed) and self._low.issuperset(computed)
        if floats and (node.op_type in _COMPUTING or carries):
            for name in dict.fromkeys(floats):
                yield from self._in_low(name)
            for index, name in enumerate(node.input):
                if name in floats:
                    node.input[index] = _low(name)
            self._low.update(node.output)
            for index, name in enumerate(node.output):
                node.output[index] = _low(name)
        else:
            for name in node.input:
                yield from self._in_full(name)
            self._full.update(node.output)
        yield node

    def _in_low(self, name: str) -> Iterator[Any]:
        """What makes the low form of a tensor, where it is not there yet."""
        if name not in self._low:
            self._low.add(name)
            yield self._cast(name, _low(name), self._low_type)

    def _in_full(self, name: str) -> Iterator[Any]:
        if name in self._low and name not in self._full:
            self._full.add(name)
            yield self._cast(_low(name), name, self._float)

    @staticmethod
    def _cast(name: str, to_name: str, to_type: int) -> Any:
        from onnx import helper

        return helper.make_node("Cast", [name], [to_name], name=f"cast {to_name}", to=to_type)


def _low(name: str) -> str:
    return f"{name}.low"
