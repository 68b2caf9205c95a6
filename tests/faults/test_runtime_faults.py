# SPDX-License-Identifier: Apache-2.0
"""X01, X03, X06: graphs that engines misread, builds that give other poses, inputs of another size."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from geodistill_core.errors import RuntimeBackendError
from geodistill_core.models.base import CrossViewNetwork, GroundFeatures, MapFeatures
from geodistill_core.runtime.build import BUILT_NAME, build
from geodistill_core.runtime.calls import calls_of
from geodistill_core.runtime.export import export_onnx
from geodistill_core.runtime.network import CompiledNetwork
from geodistill_core.types import GroundImage, forward_optical_mount
from tests.evaluation.untrained import manifest_of
from tests.runtime.small import CAMERA, image, picture, probe, profile, small


class ModuleCall:
    """A call of the portable network, run by torch, its floating-point outputs times `factor`."""

    def __init__(self, call, factor=1.0):
        self.call, self.factor = call, factor
        self.inputs = {name: tuple(tensor.shape) for name, tensor in call.inputs.items()}
        self.outputs = dict.fromkeys(call.outputs, ())

    def __call__(self, tensors):
        found = self.call.module(*(tensors[name] for name in self.inputs))
        return {name: value * self.factor for name, value in zip(self.outputs, found, strict=True)}


class StubBackend:
    """fp32 that is right; other precisions multiply what one call gives by `factor`."""

    name, on_processor = "stub", False
    precisions = ("fp32", "bf16", "fp16")

    def __init__(self, network, shapes, factor, wrong=("fp16",)):
        self.calls = {call.name: call for call in calls_of(network, shapes)}
        self.factor, self.wrong, self.compiled = factor, wrong, []

    def compile(self, call, onnx, precision):
        self.compiled.append(precision)
        spoilt = precision in self.wrong and call == "match"
        return ModuleCall(self.calls[call], self.factor if spoilt else 1.0)


def compiled(network, **options):
    calls = {call.name: ModuleCall(call) for call in calls_of(network, profile(network))}
    return CompiledNetwork(network, profile(network), calls, **options)


class WithSpaceGrid(CrossViewNetwork):
    """Samples a volume with a 5-D grid, as no engine of ours may be asked to."""

    metres_per_pixel = metres_per_cell = 0.5
    template_extent_m = 8.0

    def prepare_ground(self, image):
        return small("tiny").prepare_ground(image)

    def encode_map(self, tiles):
        return MapFeatures(tiles.rgb, tiles.valid)

    def encode_ground(self, ground):
        return GroundFeatures(ground.pixels, ground.visible, ground.mount)

    def match(self, ground, map_features, yaw_enu_rad):
        volume = map_features.features.unsqueeze(2)
        grid = ground.features[..., :4, :4].mean() * torch.ones(1, 1, 4, 4, 3)
        return torch.nn.functional.grid_sample(volume, grid, align_corners=False)[:, 0]


def test_x01_a_graph_with_a_5_d_grid_is_refused_at_export(tmp_path):
    pytest.importorskip("onnxscript")
    network = WithSpaceGrid().eval()
    with pytest.raises(RuntimeBackendError, match="match cannot be exported"):
        export_onnx(network, profile(network), tmp_path)
    assert not (tmp_path / "match.onnx").exists()


def test_x03_a_precision_that_moves_the_pose_gives_way_to_the_next_safer_one(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    network = small("tiny")
    monkeypatch.setattr("geodistill_core.runtime.probes.probes", lambda network, shapes: [probe(network)])
    stub = StubBackend(network, profile(network), factor=-100.0)
    built = build(network, manifest_of("tiny"), profile(network), stub, "fp16", tmp_path)
    assert built["precision"] == "bf16" and "limit" in built["refused"]["fp16"]
    assert json.loads((tmp_path / BUILT_NAME).read_text())["precision"] == "bf16"


def test_x03_where_no_precision_gives_torchs_poses_the_build_is_an_error(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    network = small("tiny")
    monkeypatch.setattr("geodistill_core.runtime.probes.probes", lambda network, shapes: [probe(network)])
    stub = StubBackend(network, profile(network), factor=-100.0, wrong=("fp16", "bf16", "fp32"))
    with pytest.raises(RuntimeBackendError, match=r"other poses than torch.*fp16.*bf16.*fp32"):
        build(network, manifest_of("tiny"), profile(network), stub, "fp16", tmp_path)
    assert not (tmp_path / BUILT_NAME).exists()


def test_x06_an_image_of_another_size_is_refused_with_both_sizes():
    network = compiled(small("g2sweakly_vigor"))
    seen = network.prepare_ground(image(network.network))
    wider = replace(seen, pixels=seen.pixels.repeat(1, 1, 1, 2), visible=seen.visible.repeat(1, 1, 2))
    with pytest.raises(RuntimeBackendError, match="256 x 64 px, compiled for 1 panorama image of 128 x 64 px"):
        network.encode_ground(wider)


def test_x06_a_tile_of_another_size_is_refused_with_both_sizes():
    network = compiled(small("tiny"))
    tiles = network.prepare_map(probe(network.network).tile)
    narrow = replace(tiles, rgb=tiles.rgb[..., :128, :128], valid=tiles.valid[..., :128, :128])
    with pytest.raises(RuntimeBackendError, match="128 x 128 px, compiled for 1 of 160 x 160 px"):
        network.encode_map(narrow)


def test_x06_a_camera_that_looks_further_down_than_the_compiled_one_is_refused():
    network = compiled(small("g2sweakly_kitti"))
    K = CAMERA.K.copy()
    K[1, 2] = 40.0
    lower = GroundImage.pinhole(
        picture(np.random.default_rng(2), 256, 640), replace(CAMERA, K=K), forward_optical_mount(1.65)
    )
    with pytest.raises(RuntimeBackendError, match="horizon in pixel row 10, compiled for 27"):
        network.encode_ground(network.prepare_ground(lower))


@torch.inference_mode()
def test_x06_where_it_is_allowed_the_eager_network_serves_what_does_not_fit_and_says_so_once(caplog):
    eager = small("tiny")
    network, seen = compiled(eager, eager_fallback=True), probe(eager)
    wide = replace(eager.prepare_map(seen.tile), metres_per_pixel=torch.tensor([0.3]))
    ground, yaw = eager.prepare_ground(seen.image), torch.from_numpy(seen.yaw_enu_rad[None]).float()
    want = eager.match(eager.encode_ground(ground), eager.encode_map(wide), yaw)
    for _ in range(2):
        found = network.match(network.encode_ground(ground), network.encode_map(wide), yaw)
    assert torch.equal(found, want)
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1 and "0.3000 m per pixel" in warned[0]
