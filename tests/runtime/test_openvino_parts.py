# SPDX-License-Identifier: Apache-2.0
"""A graph in two parts computes what the whole computes, and its last convolutions in the second."""

import numpy as np
import pytest
import torch
from small import profile, small

from geodistill_core.runtime import openvino_backend
from geodistill_core.runtime.calls import calls_of
from geodistill_core.runtime.export import export_onnx
from geodistill_core.runtime.openvino_backend import OpenVinoBackend
from geodistill_core.runtime.openvino_parts import in_parts

openvino = pytest.importorskip("openvino")
CONVOLUTIONS = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}


@pytest.fixture(params=["tiny", "g2sweakly_vigor"])
def encoder(request, tmp_path):
    network = small(request.param)
    _, call, _ = calls_of(network, profile(network))
    return call, export_onnx(network, profile(network), tmp_path)["encode_ground"]


def convolutions(model):
    return sum(operation.get_type_name() in CONVOLUTIONS for operation in model.get_ordered_ops())


def test_both_parts_compute_what_the_whole_computes(encoder, monkeypatch):
    call, path = encoder
    whole = OpenVinoBackend().compile("encode_ground", path, "fp32")
    monkeypatch.setattr(openvino_backend, "_compiled", in_full(openvino_backend._compiled))
    parts = OpenVinoBackend().compile("encode_ground", path, "bf16")
    assert type(parts) is not type(whole)
    assert (parts.inputs, parts.outputs) == (whole.inputs, whole.outputs)
    expected = whole(call.inputs)
    for name, tensor in parts(call.inputs).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)


def in_full(compiled):
    return lambda library, model, kind: compiled(library, model, "f32")


def test_the_second_part_holds_the_last_convolutions_alone(encoder):
    _, path = encoder
    whole = openvino.Core().read_model(str(path))
    first, second = in_parts(openvino, path)
    assert 1 <= convolutions(second) <= 3
    assert convolutions(first) + convolutions(second) == convolutions(whole)


def test_a_graph_whose_last_convolution_is_its_first_stays_whole(tmp_path):
    library = openvino.opset8
    given = library.parameter([1, 2, 8, 8], dtype=np.float32, name="x")
    weights = library.constant(torch.rand(3, 2, 3, 3).numpy())
    ones, nothing = [1, 1], [0, 0]
    model = openvino.Model([library.convolution(given, weights, ones, nothing, nothing, ones)], [given], "one")
    openvino.save_model(model, str(tmp_path / "one.xml"))
    assert in_parts(openvino, tmp_path / "one.xml") is None
