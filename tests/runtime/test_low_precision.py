# SPDX-License-Identifier: Apache-2.0
"""Types written into a graph: sums in the low type, everything delicate and the borders in fp32."""

import numpy as np
import pytest

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.low_precision import with_low_precision

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'geodistill[deploy]')")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

WEIGHT = np.random.default_rng(3).normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    """conv, relu, conv, added to the first, soft-max over channels."""
    shape = [1, 4, 8, 8]
    nodes = [
        helper.make_node("Conv", ["pixels", "weight"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "weight"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "a"], ["d"]),
        helper.make_node("Softmax", ["d"], ["features"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("features", "d")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(WEIGHT, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "encode_ground.onnx")
    return tmp_path / "encode_ground.onnx"


def types(model):
    """Type of every tensor, with what the operators make of their inputs."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False).graph
    return {value.name: value.type.tensor_type.elem_type for value in [*inferred.value_info, *inferred.output]}


def run(model, pixels):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels})


def test_fp32_is_the_file_with_its_weights(path):
    assert onnx.load_from_string(with_low_precision(path, "fp32")) == onnx.load(path)


@pytest.mark.parametrize(("precision", "low"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)])
def test_between_convolutions_nothing_is_cast_and_soft_max_is_fp32(path, precision, low):
    model = onnx.load_from_string(with_low_precision(path, precision))
    casts = [(node.input[0], node.output[0]) for node in model.graph.node if node.op_type == "Cast"]
    assert casts == [("pixels", "pixels.low"), ("weight", "weight.low"), ("d.low", "d")]
    found = types(model)
    assert {found[name] for name in ("features", "d")} == {TensorProto.FLOAT}
    assert found["pixels.low"] == low
    assert next(node for node in model.graph.node if node.op_type == "Softmax").input == ["d"]


def test_half_precision_gives_the_same_features_to_its_rounding(path):
    pixels = np.random.default_rng(5).normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    for full, half in zip(
        run(with_low_precision(path, "fp32"), pixels), run(with_low_precision(path, "fp16"), pixels), strict=True
    ):
        assert half.dtype == np.float32
        assert 0 < np.abs(full - half).max() < 5e-3


def test_int8_without_scales_is_refused_with_the_remedy(path):
    with pytest.raises(RuntimeBackendError, match="--calibrate"):
        with_low_precision(path, "int8")
