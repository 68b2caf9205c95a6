# SPDX-License-Identifier: Apache-2.0
"""Which back end runs a network: the first that is there, the reason for every other, and never a silent fallback."""

import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from geodistill_core.errors import ConfigError, RuntimeBackendError
from geodistill_core.geometry.geodesy import LocalFrame
from geodistill_core.localization import Localizer, LocalizerConfig
from geodistill_core.maps import RasterSource
from geodistill_core.models.manifest import Manifest, Probe
from geodistill_core.models.registry import build
from geodistill_core.runtime import device, ladder
from geodistill_core.runtime.attach import Attached
from geodistill_core.runtime.ladder import RuntimeOptions, Work, compiled, order
from geodistill_core.runtime.network import CompiledNetwork
from geodistill_core.runtime.profile import Profile
from geodistill_core.types import GeoPoint, GroundImage, Prior

ARGUMENTS = {"channels": 4, "widths": (16, 16, 24, 24), "cells": 33}
MANIFEST = Manifest(
    name="small", architecture="tiny", arguments=ARGUMENTS, inputs={}, metres_per_pixel=0.25, preprocessing="none",
    training={}, calibration=None, sha256="0" * 64, licence="Apache-2.0",
    probe=Probe(seed=0, expected=(0.0,) * 8, tolerance=0.1),
)  # fmt: skip
IMAGE = GroundImage.panorama(np.random.default_rng(1).integers(0, 255, (64, 128, 3), np.uint8), height_m=1.8)
HERE = GeoPoint(47.0, 8.0)
PRIOR = Prior(HERE.latitude, HERE.longitude, 5.0, 0.3, 0.05)
CONFIG = LocalizerConfig(tile_extent_m=48.0)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return build("tiny", **ARGUMENTS).eval()


@pytest.fixture
def absent(monkeypatch):
    """Make modules impossible to import."""

    def hide(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


@pytest.fixture
def localizer(network):
    rgb = np.random.default_rng(2).integers(0, 255, (480, 480, 3), np.uint8)
    return Localizer(network, MANIFEST, RasterSource(rgb, HERE, 0.25, "made up"), CONFIG)


def work(network, folder, runtime="auto", said=None, **options):
    options = RuntimeOptions(runtime, cache=folder, **options)
    say = (lambda text: None) if said is None else said.append
    return Work(network, MANIFEST, Profile.of(network, IMAGE, CONFIG), options, say)


CPUINFO = {
    "vendor_id : AuthenticAMD\nmodel name : a\nflags : fpu avx512f avx512_bf16\n": True,
    "vendor_id : GenuineIntel\nmodel name : a\nflags : fpu avx512f avx512_bf16\n": False,
    "vendor_id : GenuineIntel\nmodel name : a\nflags : fpu avx512_bf16 amx_bf16\n": True,
    "model name : a\nflags : fpu amx_bf16 amx_tile\n": True,
    "Features : fp asimd bf16\n": True,
    "model name : a bf16\nflags : fpu avx512f avx512_bf16_x\n": False,
    "": False,
}


@pytest.mark.parametrize("text", CPUINFO)
def test_a_processor_that_is_fast_in_bf16_is_known_by_what_it_says(text, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(device, "_CPUINFO", tmp_path / "cpuinfo")
    assert device.fast_in_bf16() == CPUINFO[text]


@pytest.fixture
def without_bf16(monkeypatch):
    monkeypatch.setattr(device, "fast_in_bf16", lambda: False)


def test_where_the_processor_is_fast_in_bf16_the_back_end_that_uses_it_comes_first(monkeypatch, network, tmp_path):
    monkeypatch.setattr(device, "fast_in_bf16", lambda: True)
    assert order("auto") == ("tensorrt", "openvino", "onnxruntime", "torch")
    pytest.importorskip("openvino")
    asked = []
    monkeypatch.setattr(ladder, "start_build", lambda *order, **options: asked.append(order[4]))
    with pytest.raises(RuntimeBackendError):
        compiled(work(network, tmp_path, "openvino"))
    assert asked == ["bf16"]


@pytest.mark.usefixtures("without_bf16")
def test_processors_end_with_torch_and_gpus_leave_the_processor_out(monkeypatch):
    assert order("auto") == ("tensorrt", "onnxruntime", "openvino", "torch")
    assert order("openvino") == ("openvino",)
    monkeypatch.setattr(device, "has_gpu", lambda: True)
    assert order("auto") == ("tensorrt", "torch")


@pytest.mark.usefixtures("without_bf16")
def test_x04_without_any_back_end_the_network_itself_runs_and_every_absence_is_told(network, tmp_path, absent):
    absent("tensorrt", "onnxruntime", "openvino")
    said = []
    found, choice = compiled(work(network, tmp_path, said=said))
    assert found is network
    assert [name for name, _ in choice.refused] == ["tensorrt", "onnxruntime", "openvino"]
    facts = choice.facts()
    assert (facts["runtime"], facts["runtime.precision"]) == ("torch", "fp32")
    assert "geodistill[deploy]" in facts["runtime.not_openvino"]
    assert len(said) == 3


@pytest.mark.parametrize("runtime", ["tensorrt", "onnxruntime", "openvino"])
def test_x04_a_back_end_that_was_named_and_is_absent_is_an_error(network, tmp_path, absent, runtime):
    absent(runtime)
    with pytest.raises(RuntimeBackendError, match="pip install"):
        compiled(work(network, tmp_path, runtime))


def test_a_precision_that_a_back_end_has_not_is_refused_with_those_it_has(network, tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(RuntimeBackendError, match=r"onnxruntime has fp32, int8, not fp16"):
        compiled(work(network, tmp_path, "onnxruntime", precision="fp16"))


@pytest.mark.usefixtures("without_bf16")
def test_bf16_is_not_to_be_had_where_it_takes_longer(network, tmp_path):
    pytest.importorskip("openvino")
    with pytest.raises(RuntimeBackendError, match=r"openvino has fp32, int8, not bf16"):
        compiled(work(network, tmp_path, "openvino", precision="bf16"))


@pytest.mark.parametrize("options", [{"runtime": "tpu"}, {"precision": "fp8"}, {"build_limit_s": 0.5}])
def test_options_out_of_their_limits_are_refused(options):
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        RuntimeOptions(**options)


def test_an_engine_is_built_once_for_its_gate_and_then_found(localizer, network, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    found, choice = compiled(work(network, tmp_path, "onnxruntime"))
    assert isinstance(found, CompiledNetwork)
    built = json.loads(next(tmp_path.rglob("built.json")).read_text())
    assert built["precision"] == choice.precision == "fp32"
    assert built["parity"]["position_m"] <= 0.05
    said = []
    again, _ = compiled(work(network, tmp_path, "onnxruntime", said))
    assert said == []
    eager = localizer.locate(IMAGE, PRIOR)
    localizer.run_on(again)
    answer = localizer.locate(IMAGE, PRIOR)
    east_m, north_m = LocalFrame(eager.point).to_enu(answer.latitude, answer.longitude)
    assert np.hypot(east_m, north_m) < 0.05
    assert np.abs(answer.heatmap.probability - eager.heatmap.probability).max() < 1e-3


@pytest.mark.usefixtures("without_bf16")
def test_a_back_end_slower_than_torch_is_taken_by_name_only(network, tmp_path, absent, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    absent("tensorrt", "openvino")
    monkeypatch.setattr(ladder, "times_as_long", lambda *asked: 1.9)
    found, choice = compiled(work(network, tmp_path))
    assert found is network
    assert choice.facts()["runtime.not_onnxruntime"].startswith("onnxruntime in fp32 takes 1.9 times as long as torch")
    _, choice = compiled(work(network, tmp_path, "onnxruntime"))
    assert choice.runtime == "onnxruntime"
    monkeypatch.setattr(ladder, "times_as_long", lambda *asked: 1.1)
    _, choice = compiled(work(network, tmp_path))
    assert choice.runtime == "onnxruntime"


def test_other_weights_are_another_engine(network):
    other = build("tiny", **ARGUMENTS)
    assert ladder.model_hash(network, MANIFEST) == ladder.model_hash(network, MANIFEST)
    assert ladder.model_hash(network, MANIFEST) != ladder.model_hash(other, MANIFEST)


def failing(error):
    def compiled(work):
        raise error

    return compiled


class TestAttached:
    def test_in_the_foreground_every_image_raises_what_went_wrong_and_it_is_tried_once(self, localizer, monkeypatch):
        tried = []

        def fail(work):
            tried.append(work.profile)
            raise RuntimeBackendError("no such engine")

        monkeypatch.setattr("geodistill_core.runtime.attach.compiled", fail)
        Attached(localizer, RuntimeOptions("openvino"))
        for _ in range(2):
            with pytest.raises(ConfigError, match="runtime openvino cannot be used: no such engine"):
                localizer.locate(IMAGE, PRIOR)
        assert len(tried) == 1

    def test_x05_in_the_background_the_network_as_it_is_serves_during_the_build_and_after_it_failed(
        self, localizer, monkeypatch
    ):
        asked, answer = threading.Event(), threading.Event()

        def slow(work):
            work.say("tactics 3 of 9")
            asked.set()
            answer.wait()
            raise RuntimeBackendError("compiling took longer than its limit of 900 s")

        monkeypatch.setattr("geodistill_core.runtime.attach.compiled", slow)
        attached = Attached(localizer, RuntimeOptions("tensorrt"), background=True)
        first = localizer.locate(IMAGE, PRIOR)
        asked.wait()
        during = attached.facts()
        assert (during["runtime"], attached.trouble()) == ("torch", "")
        assert during["runtime.state"].endswith("s: tactics 3 of 9")
        answer.set()
        attached.close()
        assert attached.facts()["runtime.state"] == "failed: compiling took longer than its limit of 900 s"
        assert "limit of 900 s" in attached.trouble()
        assert localizer.locate(IMAGE, PRIOR).latitude == first.latitude

    def test_the_compiled_network_takes_over_with_a_later_image(self, localizer, network, monkeypatch):
        class Twin(type(network)):
            pass

        twin = Twin(**ARGUMENTS).eval()
        choice = ladder.Choice("openvino", "fp32", "processor", (("tensorrt", "not installed"),))
        monkeypatch.setattr("geodistill_core.runtime.attach.compiled", lambda work: (twin, choice))
        attached = Attached(localizer, RuntimeOptions("auto"), background=True)
        localizer.locate(IMAGE, PRIOR)
        attached.close()
        assert localizer.network is twin
        assert attached.facts()["runtime"] == "openvino"
        assert attached.facts()["runtime.not_tensorrt"] == "not installed"
        localizer.locate(IMAGE, PRIOR)

    def test_torch_on_a_processor_compiles_nothing(self, localizer, monkeypatch):
        monkeypatch.setattr("geodistill_core.runtime.attach.compiled", failing(AssertionError()))
        Attached(localizer, RuntimeOptions("torch"))
        localizer.locate(IMAGE, PRIOR)


def test_loading_on_a_named_runtime_says_what_runs(tmp_path):
    rgb = np.zeros((64, 64, 3), np.uint8)
    source = RasterSource(rgb, HERE, 0.25, "made up")
    localizer = Localizer.load("tiny", source, runtime=RuntimeOptions("onnxruntime", cache=Path(tmp_path)))
    assert localizer.runtime.facts()["runtime"] == "torch"  # until the first image
    with pytest.raises(ConfigError, match="abacus"):
        Localizer.load("tiny", source, runtime="abacus")
