# SPDX-License-Identifier: Apache-2.0
"""`geodistill eval synth --runtime`: a compiled network is scored on the same pairs as the one it stands for."""

import json

import pytest


@pytest.fixture
def synth(geodistill, checkpoint):
    def run(*options):
        return geodistill("eval", "synth", "--pairs", "2", "--model", checkpoint, "--json", "-", *options)

    return run


def test_a_compiled_network_errs_as_the_one_it_stands_for(synth, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'geodistill[deploy]')")
    pytest.importorskip("onnx", reason="onnx is not installed (pip install 'geodistill[deploy]')")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plain, compiled = (json.loads(synth(*options).out) for options in ((), ("--runtime", "onnxruntime:fp32")))
    assert compiled["frames_localized"] == compiled["frames"] == 2
    assert compiled["position_error_m"]["mean"] == pytest.approx(plain["position_error_m"]["mean"], abs=0.05)
    assert (compiled["versions"]["runtime"], compiled["versions"]["runtime.precision"]) == ("onnxruntime", "fp32")
    assert "runtime" not in plain["versions"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("abacus",), 2, "runtime 'abacus' is none of"),
        (("openvino:fp7",), 2, "precision 'fp7' is none of"),
        (("tensorrt",), 4, "pip install"),
        (
            ("openvino", "--calibrate", "new", "--pairs", "400"),
            2,
            "fitted with torch, not with 'openvino'",
        ),
    ],
    ids=["no such back end", "no such precision", "not installed", "with a calibration"],
)
def test_a_runtime_that_cannot_be_used_ends_with_one_sentence(synth, options, code, said):
    done = synth("--runtime", *options)
    assert done.code == code, done.err
    assert said in " ".join(done.err.split())
