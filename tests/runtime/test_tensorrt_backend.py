# SPDX-License-Identifier: Apache-2.0
"""TensorRT 10 and 11 by a recorded fake: strongly typed, fp32 without TF32, engines kept, failures explained."""

import sys

import pytest
import torch
from torch import nn

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'geodistill[deploy]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'geodistill[deploy]')")
from fake_tensorrt import fake_tensorrt

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.runtime.tensorrt_backend import TensorRTBackend

PIXELS = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(6)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 3)).eval()


@pytest.fixture
def path(tmp_path, encoder):
    names = {"input_names": ["pixels"], "output_names": ["features"]}
    file = tmp_path / "encode_ground.onnx"
    torch.onnx.export(encoder, (PIXELS,), file, opset_version=18, dynamo=False, **names)
    return file


@pytest.fixture
def installed(monkeypatch):
    def install(*args, **kwargs):
        monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(*args, **kwargs))
        return sys.modules["tensorrt"]

    return install


def compiled(path, precision="fp32", call="encode_ground", **options):
    return TensorRTBackend("cpu", **options).compile(call, path, precision)


@pytest.mark.parametrize(("version", "flags"), [("10.13.0.35", 2), ("11.4.0.106", 0)])
def test_networks_are_strongly_typed_in_version_10_and_in_11_which_knows_no_others(installed, path, version, flags):
    trt = installed(version)
    compiled(path)
    assert trt.calls[:3] == [f"create_network {flags}", f"workspace {2 << 30}", "clear TF32"]


def test_the_engine_answers_what_the_network_answers(installed, path, encoder):
    installed()
    call = compiled(path)
    assert (call.inputs, call.outputs) == ({"pixels": (1, 3, 8, 8)}, {"features": (1, 2, 6, 6)})
    with torch.inference_mode():
        torch.testing.assert_close(call({"pixels": PIXELS})["features"], encoder(PIXELS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("call", ["encode_ground", "match"])
def test_an_answer_stays_what_it_was_when_the_engine_runs_again(installed, path, call):
    installed()
    call = compiled(path, call=call)
    first = call({"pixels": PIXELS})["features"]
    kept = first.clone()
    call({"pixels": PIXELS + 1})
    assert torch.equal(first, kept)


def test_an_engine_is_built_once_and_read_afterwards(installed, path):
    trt = installed()
    for _ in range(2):
        compiled(path)
    assert trt.calls.count("build") == 1
    assert trt.calls.count("deserialize") == 2


def test_fp16_is_written_into_the_encoder_and_never_into_the_match(installed, path):
    installed()
    compiled(path, "fp16")
    assert b"pixels.low" in (path.parent / "encode_ground.fp16.engine").read_bytes()
    path.rename(path.with_name("match.onnx"))
    compiled(path.with_name("match.onnx"), "fp16", call="match")
    assert b"pixels.low" not in (path.parent / "match.fp16.engine").read_bytes()


def test_the_builder_tells_its_progress(installed, path):
    installed()
    said = []
    compiled(path, say=said.append)
    assert said == ["tactics, step 1 of 2"]


@pytest.mark.parametrize(
    ("refuses", "text"),
    [
        ("parse", "no importer for operator Fft"),
        ("build", "out of device memory"),
        ("address", "no memory for pixels"),
        ("execute", "failed to run encode_ground"),
    ],
)
def test_what_tensorrt_refuses_is_told_in_its_own_words(installed, path, refuses, text):
    installed(refuses=refuses)
    with pytest.raises(RuntimeBackendError, match=text):
        compiled(path)({"pixels": PIXELS})


def test_an_engine_that_is_none_is_refused(installed, path):
    installed()
    (path.parent / "encode_ground.fp32.engine").write_bytes(b"something else")
    with pytest.raises(RuntimeBackendError, match=r"refuses the engine .*magic tag"):
        compiled(path)


def test_an_input_of_another_size_is_refused_with_both_sizes(installed, path):
    installed()
    with pytest.raises(RuntimeBackendError, match=r"\(1, 3, 8, 9\).*\(1, 3, 8, 8\)"):
        compiled(path)({"pixels": torch.zeros(1, 3, 8, 9)})


def test_version_8_is_too_old(installed, path):
    installed("8.6.1")
    with pytest.raises(RuntimeBackendError, match=r"8\.6\.1 is too old"):
        compiled(path)


def test_its_absence_names_the_extra(monkeypatch, path):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeBackendError, match=r"geodistill\[tensorrt\]"):
        compiled(path)
