# SPDX-License-Identifier: Apache-2.0
"""The graph lint tells each thing apart that some engine gets wrong."""

import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

from geodistill_core.runtime.lint import lint  # noqa: E402


def model(nodes, inputs, output, opset=18, domain="", initializers=()):
    values = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    answer = helper.make_tensor_value_info("y", *output)
    graph = helper.make_graph(nodes, "graph", values, [answer], list(initializers))
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=imports)


FLOAT = TensorProto.FLOAT


def sampled(rank, opset=18):
    spatial = [4] * (rank - 2)
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], name="warp")
    inputs = {"x": (FLOAT, [1, 2, *spatial]), "grid": (FLOAT, [1, *spatial, rank - 2])}
    return model([node], inputs, (FLOAT, [1, 2, *spatial]), opset)


def one(op, opset=18, kind=FLOAT, shape=(2, 3), **extra):
    node = helper.make_node(op, ["x"], ["y"], **extra)
    return model([node], {"x": (kind, list(shape))}, (kind, list(shape)), opset)


def test_a_plain_4_d_graph_of_opset_18_has_no_problem():
    assert lint(sampled(4)) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (sampled(5, opset=20), "5-D"),
        (sampled(4, opset=20), "opset 20"),
        (one("NonZero"), "NonZero"),
        (one("ScatterND"), "write in place"),
        (one("Relu", shape=("n", 3)), "not static"),
        (one("Abs", kind=TensorProto.DOUBLE), "fp64"),
    ],
    ids=["grid of five axes", "later sampling", "shape from values", "write in place", "dynamic shape", "fp64"],
)
def test_lint_refuses(wrong, told):
    assert any(told in problem for problem in lint(wrong)), lint(wrong)


def test_lint_refuses_fourier_transforms():
    node = helper.make_node("DFT", ["x"], ["y"])
    problems = lint(model([node], {"x": (FLOAT, [1, 8, 1])}, (FLOAT, [1, 8, 2])))
    assert any("Fourier" in problem for problem in problems)


def test_lint_refuses_padding_around_a_seam():
    widths = helper.make_tensor("pads", TensorProto.INT64, [4], [0, 1, 0, 1])
    node = helper.make_node("Pad", ["x", "pads"], ["y"], mode="wrap")
    graph = model([node], {"x": (FLOAT, [2, 4])}, (FLOAT, [2, 6]), initializers=[widths])
    assert any("'wrap'" in problem for problem in lint(graph))


def test_lint_refuses_operators_of_one_engine():
    node = helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")
    graph = model([node], {"x": (FLOAT, [2])}, (FLOAT, [2]), domain="com.microsoft")
    assert any("com.microsoft" in problem for problem in lint(graph))
