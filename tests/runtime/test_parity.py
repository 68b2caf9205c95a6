# SPDX-License-Identifier: Apache-2.0
"""Every network of the registry passes the parity gate on every back end of the processor."""

import numpy as np
import pytest
import torch

from geodistill_core.localization.heights import log_likelihood
from geodistill_core.runtime.backend import CALLS, compile_calls
from geodistill_core.runtime.export import export_onnx
from geodistill_core.runtime.network import CompiledNetwork
from geodistill_core.runtime.onnxruntime_backend import OnnxRuntimeBackend
from geodistill_core.runtime.openvino_backend import OpenVinoBackend
from geodistill_core.runtime.parity import check
from tests.runtime.small import NAMES, probe, profile, small

pytest.importorskip("onnx")
pytestmark = pytest.mark.timeout(900)  # the published sizes of some networks cannot be chosen smaller

_FILES = {}
_PEAK = 12.0
_COMPARED_BY_TORCH = [n for n in NAMES if n == "tiny" or n.startswith("g2sweakly") or n.endswith(("dino", "vgg"))]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    def of(name):
        if name not in _FILES:
            network = small(name)
            folder = tmp_path_factory.mktemp(name)
            _FILES[name] = network, export_onnx(network, profile(network), folder)
        return _FILES[name]

    yield of
    _FILES.clear()


def compiled(network, files, backend):
    calls = {call: backend.compile(call, files[call], "fp32") for call in CALLS}
    return CompiledNetwork(network, profile(network), calls)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", [OnnxRuntimeBackend(), OpenVinoBackend()], ids=lambda b: b.name)
def test_a_compiled_network_finds_the_poses_of_the_eager_one(name, backend, exported):
    pytest.importorskip(backend.name)
    network, files = exported(name)
    seen = probe(network, yaws=3)
    found = check(network, compiled(network, files, backend), [seen], sharp(network, seen))
    assert found.holds, found


@pytest.mark.parametrize("name", ["ccvpe_kitti", *_COMPARED_BY_TORCH])
def test_a_processor_leaves_to_torch_what_torch_compares_faster(name, exported):
    pytest.importorskip("onnxruntime")
    network, files = exported(name)
    calls = compile_calls(network, OnnxRuntimeBackend(), files, "fp32")
    assert ("match" in calls) == (name == "ccvpe_kitti")
    seen = probe(network, yaws=3)
    assert check(network, CompiledNetwork(network, profile(network), calls), [seen], sharp(network, seen)).holds


def test_an_engine_of_a_gpu_gets_every_call(exported):
    class Engine:
        name, on_processor, precisions = "engine", False, ("fp32",)

        def compile(self, call, onnx, precision):
            return onnx.name

    network, files = exported("tiny")
    assert compile_calls(network, Engine(), files, "fp32") == {call: f"{call}.onnx" for call in CALLS}


@torch.inference_mode()
def sharp(network, seen):
    """A temperature at which untrained logits make a heat map that has a peak, beside which errors are seen."""
    maps = network.encode_map(network.prepare_map(seen.tile))
    log_p = log_likelihood(network, seen.image, maps, seen.yaw_enu_rad, 1.0)
    possible = log_p[np.isfinite(log_p)]
    return float(np.ptp(possible)) / _PEAK
