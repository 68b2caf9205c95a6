# SPDX-License-Identifier: Apache-2.0
"""`geodistill replay --runtime`: the back end and its precision are among the versions, and none is taken silently."""

import json

import pytest


def test_a_runtime_that_is_not_installed_ends_the_replay_with_the_remedy(geodistill, drive, checkpoint, tmp_path):
    done = geodistill(
        "replay", drive.bag, "--model", checkpoint, "--runtime", "tensorrt", "-o", tmp_path / "out", "--threads", "1"
    )
    assert done.code == 2
    assert "runtime tensorrt cannot be used" in " ".join(done.err.split())


def test_what_ran_the_network_is_among_the_versions(geodistill, drive, checkpoint, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'geodistill[deploy]')")
    pytest.importorskip("onnx", reason="onnx is not installed (pip install 'geodistill[deploy]')")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = geodistill("replay", drive.bag, "--model", checkpoint, "--runtime", "onnxruntime", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["frames_localized"] == metrics["frames"]
    assert metrics["versions"]["runtime"] == "onnxruntime"
    assert metrics["versions"]["runtime.precision"] == "fp32"
