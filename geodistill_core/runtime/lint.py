# SPDX-License-Identifier: Apache-2.0
"""What an exported graph must not hold, because one of the engines refuses it or computes something else.

Operators are those that TensorRT's parser lists, less the ones with control flow, randomness or shapes that depend on
values, and less writes in place, which cost copies. The opset and the grids are limited because sampling went wrong
there without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""GridSample of opset 20 gives other numbers in TensorRT than in torch; that of 16, which 18 includes, does not."""

_NAMES = """
    Abs Add And ArgMax ArgMin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
    ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Einsum Equal Erf Exp Expand Flatten Floor Gather
    GatherElements GatherND Gemm GlobalAveragePool Greater GreaterOrEqual GridSample Identity InstanceNormalization
    IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mod Mul Neg Not Or Pad Pow
    QuantizeLinear Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize Round ScatterElements Sigmoid Sign Sin Slice Softmax Softplus SpaceToDepth Split Sqrt
    Squeeze Sub Sum Tan Tanh Tile Transpose Unsqueeze Where Xor
"""
_TENSORRT = frozenset(_NAMES.split())
_GRID_RANK = 4
_PAD_MODES = ("constant", "reflect", "edge")


def lint(model: onnx.ModelProto) -> list[str]:
    """Problems of a model, worded for whoever wrote the network; none where every engine reads it as torch does."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.HasField("shape"):
            ranks[value.name] = len(value.type.tensor_type.shape.dim)
    found = [*_of_opsets(model), *_of_types(graph), *_of_nodes(graph, ranks)]
    return list(dict.fromkeys(found))


def _of_opsets(model: onnx.ModelProto) -> Iterator[str]:
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            yield f"operators of the domain {opset.domain!r}, which only one engine knows"
        elif opset.version != OPSET:
            yield f"opset {opset.version} instead of {OPSET}: TensorRT samples grids of opset 20 wrongly"


def _of_types(graph: onnx.GraphProto) -> Iterator[str]:
    """Static shapes, and no fp64 anywhere."""
    from onnx import TensorProto

    double = [tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.DOUBLE]
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if kind.elem_type == TensorProto.DOUBLE:
            double.append(value.name)
        if any(not dim.HasField("dim_value") for dim in kind.shape.dim):
            yield f"{value.name} has a shape that is not static; engines are built for fixed shapes"
    if double:
        yield f"fp64 in {double[0]}, which accelerators cut down to fp32; compute in fp32"


def _of_nodes(graph: onnx.GraphProto, ranks: dict[str, int]) -> Iterator[str]:
    for node in graph.node:
        if node.op_type in ("DFT", "STFT"):
            yield f"a Fourier transform ({node.op_type}), which TensorRT has none of; leave it to torch"
        elif node.op_type == "ScatterND":
            yield f"{node.name}: a write in place (ScatterND), for which engines copy the whole; make a new tensor"
        elif node.op_type not in _TENSORRT:
            yield f"the operator {node.op_type}, which TensorRT does not read"
        elif node.op_type == "GridSample":
            yield from _of_grid(node, ranks)
        elif node.op_type == "Pad" and (mode := _attribute(node, "mode", "constant")) not in _PAD_MODES:
            yield f"padding of mode {mode!r}, which opset {OPSET} has none of; concatenate slices"


def _of_grid(node: onnx.NodeProto, ranks: dict[str, int]) -> Iterator[str]:
    rank = max(ranks.get(name, _GRID_RANK) for name in node.input)
    if rank != _GRID_RANK:
        yield f"{node.name}: GridSample on {rank}-D tensors, which TensorRT refuses; sample planes with 4-D grids"
    if (mode := _attribute(node, "mode", "bilinear")) not in ("bilinear", "nearest"):
        yield f"{node.name}: GridSample of mode {mode!r}; use bilinear or nearest"


def _attribute(node: onnx.NodeProto, name: str, default: str) -> str:
    return next((str(a.s, "ascii") for a in node.attribute if a.name == name), default)
