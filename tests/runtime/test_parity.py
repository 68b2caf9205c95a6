# SPDX-License-Identifier: Apache-2.0
"""Every network of the registry passes the parity gate on every back end of the processor."""

import pytest

from geodistill_core.runtime.backend import CALLS
from geodistill_core.runtime.export import export_onnx
from geodistill_core.runtime.network import CompiledNetwork
from geodistill_core.runtime.onnxruntime_backend import OnnxRuntimeBackend
from geodistill_core.runtime.openvino_backend import OpenVinoBackend
from geodistill_core.runtime.parity import check
from tests.runtime.small import NAMES, probe, profile, small

pytest.importorskip("onnx")

_FILES = {}


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
    found = check(network, compiled(network, files, backend), [probe(network, yaws=3)])
    assert found.holds, found
    print(name, backend.name, found)
